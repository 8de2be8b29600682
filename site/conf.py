"""The course as static HTML: `make site` builds it from the executed notebooks."""

project = "Seq2Seq, Exactly"
html_title = project
author = "the authors of Seq2Seq, Exactly"

# sphinx-mathjax-offline brings the MathJax that sphinx.ext.mathjax would load from the network.
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx-mathjax-offline"]
exclude_patterns = ["README.md"]  # index.md includes it
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
smartquotes = False  # they would make L’ of L′

html_theme = "sphinx_book_theme"
html_show_sphinx = False
# One bar, at the left: with a second one, code and equations would not fit beside them.
html_sidebars = {"**": ["navbar-logo.html", "search-button-field.html", "sbt-sidebar-nav.html", "page-toc.html"]}
html_theme_options = {"secondary_sidebar_items": [], "navbar_persistent": []}
html_static_path = ["static"]
html_css_files = ["course.css"]
