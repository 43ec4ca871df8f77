"""A saved model as files that others run: ONNX graphs, and the table of its tokens.

``onnx_graph`` turns a model into graphs, ``onnx_model`` asks them as a model is asked, ``onnx_proof`` holds them to torch,
``quantised`` makes them smaller and measures what that costs, ``token_table`` is the canonical form as JSON, ``pipeline_files`` the same
as transformers.js reads it, ``onnx_export`` writes all of it as a folder, ``static_page`` that folder as a page for browsers with the program of ``web_runtime``, which ``page_server``
serves on this machine and ``static_space`` puts on the Hub.
"""
