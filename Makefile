# One verb a target. Everything happens in a virtual environment, $(VENV); nothing else is touched.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
PACKAGE = pyproject.toml CMakeLists.txt $(shell find src/gpt2lab native -type f -not -name '*.pyc' -not -name '*.so')
TEST_ARGS ?=
STORY_ARGS ?=
BENCH ?= .venv-bench
BENCH_ARGS ?=
GPT2LAB_DATA ?= ../shared/data

.PHONY: demo story test check test-llama check-install bench bench-training bench-evaluation bench-detection bench-serving docs clean

demo: $(VENV)/.installed ## Set up and write a little with the embedded model
	$(VENV)/bin/gpt2lab generate "Once upon a time" --length 120 --seed 2

story: $(VENV)/.training ## From text to a model that writes, in about four minutes; STORY_ARGS="FOLDER TEXT" for a text of yours
	PATH="$(abspath $(VENV))/bin:$$PATH" sh examples/story.sh $(STORY_ARGS)

test: $(VENV)/.tools ## Set up and run the tests
	$(VENV)/bin/python -m pytest $(TEST_ARGS)

check: $(VENV)/.tools ## Lint, format, types, layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Compiled for any processor: made for one with AMX, it dies on a vocabulary that is not a multiple of its tiles.
test-llama: $(VENV)/.tools ## Compile llama.cpp (minutes) and load our GGUF files in it
	CMAKE_ARGS="-DGGML_NATIVE=OFF" $(PIP) install --quiet --no-cache-dir --constraint constraints.txt llama-cpp-python
	$(VENV)/bin/python -m pytest tests/parity/test_gguf_llama_cpp.py

check-install: ## What a plain `pip install` brings: no torch, how many megabytes, how fast it starts
	$(PYTHON) tests/contract/check_install.py

bench: $(BENCH)/.installed ## Beside other engines, in an environment of its own; BENCH_ARGS=--help lists the choices
	$(BENCH)/bin/python -m benchmarks --output docs/benchmarks.md $(BENCH_ARGS)

bench-training: $(BENCH)/.installed ## Training beside transformers' Trainer and a plain loop; BENCH_ARGS=--help lists the choices
	$(BENCH)/bin/python benchmarks/training.py --output docs/benchmarks-training.md $(BENCH_ARGS)

bench-evaluation: $(BENCH)/.installed ## Evaluations beside lm-eval; needs the corpora of $$GPT2LAB_DATA
	$(BENCH)/bin/python -m benchmarks.evaluation --data "$(GPT2LAB_DATA)/eval" --gpt2 "$(GPT2LAB_DATA)/gpt2_bpe" --output docs/benchmarks-evaluation.md $(BENCH_ARGS)

bench-detection: $(BENCH)/.installed ## Measuring texts for detection beside transformers; BENCH_ARGS=--help lists the choices
	$(BENCH)/bin/python -m benchmarks.detection --output docs/benchmarks-detection.md $(BENCH_ARGS)

bench-serving: $(BENCH)/.installed ## Servers under 32 clients, beside OpenVINO GenAI and transformers serve; BENCH_ARGS=--help lists the choices
	$(BENCH)/bin/python -m benchmarks.serving --output docs/benchmarks-serving.md $(BENCH_ARGS)

docs: $(VENV)/.installed ## Write the command line's reference and the shown outputs again
	$(VENV)/bin/python docs/refresh.py

$(VENV)/bin/python:
	@command -v c++ >/dev/null || command -v g++ >/dev/null || { echo "gpt2lab is compiled on your machine and needs a C++ compiler (Debian, Ubuntu: apt install g++; macOS: xcode-select --install)."; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "The virtual environment could not be made (Debian, Ubuntu: apt install python3-venv)."; exit 2; }

$(VENV)/.installed: $(VENV)/bin/python $(PACKAGE)
	$(PIP) install --quiet .
	@touch $@

$(VENV)/.training: $(VENV)/.installed constraints.txt
	$(PIP) install --quiet --constraint constraints.txt ".[train]"
	@touch $@

$(VENV)/.tools: $(VENV)/bin/python $(PACKAGE) constraints.txt
	$(PIP) install --quiet --upgrade "pip>=25.1"
	$(PIP) install --quiet --constraint constraints.txt ".[train,corpus,detect,music,serve]" --group test --group oracle --group check
	@touch $@ $(VENV)/.installed $(VENV)/.training

$(BENCH)/.installed: $(PACKAGE) benchmarks/requirements.txt benchmarks/requirements-export.txt benchmarks/install.py
	$(PYTHON) -m benchmarks.install $(BENCH)
	@touch $@

clean: ## Remove what was built, not the environment
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
