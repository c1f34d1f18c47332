# make book | test | lab | grade | serve | release | clean          each a thin call of `hkt`, pytest or jupyter
#
# The first call makes .venv and installs what it needs under constraints.txt; later calls see that
# nothing changed.
#   PYTHON=python3.12 make book          another interpreter (3.11 or newer)
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu make book      torch from that index first:
#                                                                   the small CPU wheel

PYTHON ?= python3
TORCH_INDEX ?=
PORT ?= 8000
WORKERS ?= auto
BIN := .venv/bin
COURSE := .venv/course
CLASS ?= build/class
VARIANT ?= 2026
INSTALL := $(BIN)/python -m pip install -c constraints.txt

# An empty OMP_NUM_THREADS is an invalid value to the OpenMP runtime; as good as not set.
ifeq ($(strip $(OMP_NUM_THREADS)),)
unexport OMP_NUM_THREADS
endif

.PHONY: setup book test lab grade serve release clean

setup: .venv/.book

.venv/.book: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, $(PYTHON) is %d.%d; set PYTHON=..." % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(INSTALL) --index-url $(TORCH_INDEX) torch torchvision)
	$(INSTALL) -e '.[book,lits]'
	touch $@

# nbgrader brings JupyterLab, which costs each start of a kernel seconds: an environment on top of .venv.
PURELIB := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
.venv/.course: .venv/.book
	$(BIN)/python -m venv $(COURSE)
	$(BIN)/python $(PURELIB) > "$$($(COURSE)/bin/python $(PURELIB))/below.pth"
	$(COURSE)/bin/python -m pip install -c constraints.txt -e '.[course]'
	touch $@

.venv/.test: .venv/.book .venv/.course
	$(INSTALL) -e '.[book,lits,cluster,test]'
	touch $@

.venv/.lab: .venv/.book
	$(INSTALL) -e '.[book,lits,lab]'
	touch $@

book: .venv/.book
	$(BIN)/hkt book

test: .venv/.test
	$(BIN)/python tests/browser/browser.py
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

lab: .venv/.lab
	$(BIN)/jupyter lab --notebook-dir notebooks

# The round trip of a class, with the zoo of the tests for students.
grade: .venv/.course
	rm -rf $(CLASS)
	$(COURSE)/bin/hkt course release $(CLASS) --variant $(VARIANT)
	$(COURSE)/bin/python -m tests.course.zoo $(CLASS)/inbox $(VARIANT)
	$(COURSE)/bin/hkt course grade $(CLASS) --seconds 10
	$(COURSE)/bin/hkt course table $(CLASS)

serve: book
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory book/_build/html

# Site, PDF, notebooks, assignments, tables and their checksums: build/release
release: .venv/.test book
	$(BIN)/python tests/browser/browser.py
	$(BIN)/python .ci/release.py

# Built pages and caches; data, runs and .venv stay.
clean:
	rm -rf book/_generated book/_build .pytest_cache .ruff_cache .mypy_cache build *.egg-info
	find hkt_lite tests -name __pycache__ -type d -prune -exec rm -rf {} +
