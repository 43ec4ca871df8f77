"""What task files say of one file of rows, whatever source it is of.

``table_file`` is the class that the files of all sources are of.
"""
