# Every task is written once, in make.py; this file gives them their short names.
# People without make: `python make.py TASK`.
PYTHON ?= python3

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help book test pdf quiz-pdf road-pdf slides course serve lint export run storyteller wheel clean

help:
	@$(PYTHON) make.py

book test pdf quiz-pdf road-pdf slides course serve lint export storyteller wheel clean:
	@$(PYTHON) make.py $@

run:
	@$(PYTHON) make.py run $(CHAPTER)
