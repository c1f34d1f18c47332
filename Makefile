# make book | make test | make serve | make clean          a thin convenience over `python -m hkt_lite`
#
# The first call makes .venv and installs the package under constraints.txt; later calls see that nothing changed.
#   PYTHON=python3.12 make book          another interpreter (3.11 or newer)
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu make book      torch from that index first: the small CPU wheel

PYTHON ?= python3
TORCH_INDEX ?=
PORT ?= 8000
BIN := .venv/bin
STAMP := .venv/.installed

# An empty OMP_NUM_THREADS is an invalid value to the OpenMP runtime; as good as not set.
ifeq ($(strip $(OMP_NUM_THREADS)),)
unexport OMP_NUM_THREADS
endif

.PHONY: setup book test serve clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, $(PYTHON) is %d.%d; set PYTHON=..." % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --index-url $(TORCH_INDEX) -c constraints.txt torch torchvision)
	$(BIN)/python -m pip install -e '.[book,lits,test]' -c constraints.txt
	touch $@

book: $(STAMP)
	$(BIN)/hkt book

test: $(STAMP)
	$(BIN)/python -m pytest

serve: book
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory book/_build/html

# Built pages and caches; data, runs and .venv stay.
clean:
	rm -rf book/_generated book/_build .pytest_cache .ruff_cache build *.egg-info
	find hkt_lite tests -name __pycache__ -type d -prune -exec rm -rf {} +
