"""Kinds of checkpoints that people use: what their authors say of them, and what bench does with each.

``published_kind`` is what there is to say of one: a row of docs/checkpoints.md, and what its pre-training may have seen. A family has
the kinds that it reads; ``without_family`` has those that are not served.
"""
