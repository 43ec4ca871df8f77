"""What all commands share: ``commands`` (strict ones), ``execution_options``, ``terminal`` (tables), ``guarded`` (what is printed), ``failures``,
``space`` (what is said of a model's page).
"""
