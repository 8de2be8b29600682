# The course's verbs. `make help` lists them.
PYTHON ?= python3
RUN := .venv/bin/python
RUN_HOMES := .venv-homes/bin/python
NOTEBOOK ?=
LAB_ARGS ?=
GPU_ARGS ?=
REPO ?=
SPACE := $(subst ,, )
NOTEBOOKS := $(sort $(wildcard notebooks/$(NOTEBOOK)*.ipynb notebooks/0$(NOTEBOOK)_*.ipynb))
# All tests: two files at once with a thread each, in two thirds of the time of one file with two threads. More threads
# than cores would wait for each other actively, and take ten times as long.
JOBS ?= 2
ifndef NOTEBOOK
AT_ONCE := -n $(JOBS) --dist loadfile
ifneq ($(JOBS),1)
ONE_THREAD := OMP_NUM_THREADS=1
endif
endif
PYTEST := $(ONE_THREAD) $(RUN) -m pytest $(AT_ONCE)
# Strict: whatever a cell prints is compared with what is stored.
NBVAL := $(PYTEST) -c tests/nbval.ini --rootdir=.

.DEFAULT_GOAL := help
.PHONY: help environment environment-homes lab test test-homes lint test-browser mutants run student site links verify records bench gpu clean

help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

environment:  ## make .venv and install the course in it (the other verbs do this by themselves)
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "There is no $(PYTHON): install Python 3.11 to 3.13, or name yours, for example \`make lab PYTHON=python3.12\`." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "The course needs Python 3.11 to 3.13, and $(PYTHON) is another: install one and name it, for example \`make lab PYTHON=python3.12\`." >&2; exit 1; }
	@$(PYTHON) tools/environment.py

environment-homes: environment  ## make .venv-homes, which the verbs need that meet other programs (they do this by themselves)
	@$(RUN) tools/homes.py

lab: environment  ## open the course in JupyterLab; LAB_ARGS="--no-browser --port 8899" passes options on
	@$(RUN) tools/lab.py $(LAB_ARGS)

# Also where there is a GPU the stored outputs are a CPU's: tests/gpu is for `make gpu`.
test: export CUDA_VISIBLE_DEVICES :=
test: known-notebook environment  ## run every notebook and every test, JOBS=2 files at once; NOTEBOOK=03 runs one notebook
	@failed=0; $(PYTEST) $(if $(NOTEBOOK),tests/test_notebooks.py -k "$(subst $(SPACE), or ,$(basename $(notdir $(NOTEBOOKS))))") || failed=1; \
	echo $(NOTEBOOKS); $(NBVAL) $(NOTEBOOKS) || failed=1; exit $$failed

# In the order of their names, for the longest come early.
test-homes: environment-homes  ## run the course where it is used: browser, Colab, site, solutions, nbgrader (over half an hour)
	@$(ONE_THREAD) $(RUN_HOMES) -m pytest $(AT_ONCE) --no-loadscope-reorder tests/homes

lint: environment-homes  ## check the style of the code
	@$(RUN_HOMES) -m ruff check . && $(RUN_HOMES) -m ruff format --check .

test-browser:  ## run every notebook in JupyterLab in Chromium; installs nothing
	@test -x $(RUN_HOMES) || { echo "There is no .venv-homes: \`make environment-homes\` makes it." >&2; exit 1; }
	@$(RUN_HOMES) -m pytest tests/homes/test_browser.py

mutants: environment-homes  ## change the code in 400 places, or put a bug of the museum in, one at a time: do the tests notice? (two or three hours; it can be stopped)
	@$(RUN_HOMES) benchmarks/mutation.py
	@$(RUN_HOMES) benchmarks/mutation.py --exhibits

run: known-notebook environment  ## execute the notebooks and store their outputs; NOTEBOOK=03 does one
	@$(RUN) tools/notebooks.py $(NOTEBOOKS)

student: environment  ## write the notebooks without solutions, for nbgrader too, to build/student/
	@$(RUN) tools/student.py

site: environment-homes  ## build the course as static HTML in build/site/, from the notebooks as they are stored
	@$(RUN_HOMES) tools/build_site.py

links: environment  ## write the repository's address and version into every link; REPO=owner/name sets the address
	@$(RUN) tools/links.py $(REPO)

verify: environment  ## count the errors of the exact networks anew: all inputs of length 8, a part of length 10's
	@$(RUN) tools/verify.py

# outside needs the network. resources runs the notebooks: with other numbers notebook 4 stops at a claim, so it is last.
RECORDS := recipes batches museum seeds floor counting scaling outside resources
records: environment  ## measure what the notebooks, the README and RECORDS.md show (two hours; recorded runs are kept)
	@set -e; for name in $(RECORDS); do $(RUN) benchmarks/$$name.py; done

bench: environment  ## race the course's recipes against the original and other projects' networks (an hour, nothing else running)
	@$(RUN) benchmarks/bench.py

gpu: environment  ## run the tests and measurements that need a CUDA GPU; GPU_ARGS="--stage ladder", or --rehearse without one
	@$(RUN) benchmarks/gpu.py $(GPU_ARGS)

clean:  ## remove the environments, everything built, and what `make gpu` would go on with; my_notebooks/ stays
	rm -rf .venv .venv-homes build .coverage* .pytest_cache .ruff_cache course_utils.egg-info

.PHONY: known-notebook
known-notebook:
	@test -n "$(NOTEBOOKS)" || { echo "There is no notebook $(NOTEBOOK): name one by its number, for example NOTEBOOK=03." >&2; exit 1; }
