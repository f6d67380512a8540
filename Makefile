# Every target makes .venv and installs what it needs, once; a changed pyproject.toml or constraints.txt installs again.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.installed-core
TESTS := $(VENV)/.installed-notebooks,test,oracle,classroom,browser
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
SOLUTIONS := $(sort $(wildcard notebooks/solutions/*.ipynb))
BENCHMARKS := speed efficient_unet cascade
PYTEST := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadscope
# An hour a cell: under other work a lesson is slow, and only what would never end is to be ended.
NBVAL := $(PYTEST) --nbval --nbval-current-env --nbval-cell-timeout=3600 --nbval-kernel-startup-timeout=3600

.DELETE_ON_ERROR:
.PHONY: help demo test test-all lessons classroom lab lint weights benchmark clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(CORE) ## draw two sentences with the shipped weights into demo/, with the network off
	HF_HUB_OFFLINE=1 $(BIN)/minimagen draw "a large red circle" "a small blue star" --out demo

# Of the solutions, tests/test_lessons.py runs set-up, answers and checks; every other cell is the learner's.
test: lint ## check the style, run the tests, then every notebook as a learner opens it
	$(PYTEST) tests
	$(if $(NOTEBOOKS),$(NBVAL) $(NOTEBOOKS))

test-all: test ## the same, then every notebook with its solutions, and every lesson graded by nbgrader
	$(if $(SOLUTIONS),$(NBVAL) $(SOLUTIONS))
	MINIMAGEN_CLASSROOM=all $(PYTEST) tests/test_classroom.py

# make lessons LESSONS="02 07" builds some; LESSONS="--refresh 02" also measures the run time and takes widgets' pictures again.
lessons: $(TESTS) ## execute the lessons and derive the learner's edition; twice leaves git clean
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m tools.build_lessons $(LESSONS)

COURSE ?= classroom

# make classroom COURSE=~/diffusion LESSONS="02 03" makes it elsewhere, of some lessons; what is there already stays as it is.
classroom: $(VENV)/.installed-notebooks,classroom ## make a course for nbgrader out of the lessons (docs/TEACHING.md)
	$(BIN)/python -m tools.make_classroom $(COURSE) $(LESSONS)

lab: $(VENV)/.installed-notebooks ## open the lessons in JupyterLab
	$(BIN)/jupyter lab notebooks

lint: $(TESTS) ## check the style of the code and of the notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The recipe of the shipped weights, from nothing; started again, it goes on where it was stopped. (The shipped ones have seen about
# as many pages, but in legs of `train --from`, each with a warm-up and a cooling of its own: docs/WEIGHTS.md has them all.)
# On a processor with bf16 in its matrix units, make TRAIN=--bf16 weights takes little more than half the time.
weights: $(CORE) ## train the text encoder and the three networks of data/weights again, into runs/
	test -f runs/text/training_log.json || $(BIN)/python -m tools.pretrain_text --minutes 29 --out runs/text
	$(BIN)/minimagen train base --data some --size 32 --steps 46000 --text-encoder runs/text --out runs/base32 --resume $(TRAIN)
	$(BIN)/minimagen train base --data some --text-encoder runs/text --from runs/base32 --out runs/base --resume $(TRAIN)
	$(BIN)/minimagen train sr256 --data some --text-encoder runs/text --out runs/sr256 --resume $(TRAIN)
	$(BIN)/minimagen train sr1024 --data some --text-encoder runs/text --from runs/sr256 --out runs/sr1024 --resume $(TRAIN)
	cp data/weights/cascade.json runs/
	$(BIN)/minimagen evaluate --weights runs --kind single --split held-out

benchmark: $(CORE) ## run the experiments that measure time and memory
	@set -e; for name in $(BENCHMARKS); do echo "$$name"; $(BIN)/python -m experiments.$$name; done

clean: ## remove what make, the tests and the build have made; runs/ and its training stay
	rm -rf $(VENV) demo dist build .cache .pytest_cache .ruff_cache .hypothesis
	find minimagen tests tools experiments notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e ".[$*]"
	@touch $@
