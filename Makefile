# Two commands for users: `make run` and `make test`. The rest is for those who work on the code.
# The first Python on the path that is new enough.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help run translated test check fmt lint types contracts quick unit sim model compat buckets some-logs three-logs kill chaos rounds milvus report-card damage lagging soak siege fuzz teeth fixture bench bench-page versus failover many scale lock wheel clean

help:
	@echo "make run     install into ./.venv and start a broker on 127.0.0.1:9092, data in ./data"
	@echo "make translated  machine code of the busiest modules, for the brokers that run here: a minute or two"
	@echo "make test    install and run every check and every test"
	@echo "make check   lint, format, types, layer contracts, the quick unit tests: before every commit"
	@echo "make compat  the black-box suite with the real clients"
	@echo "make sim     a thousand simulated runs, ARGS='--seeds 20000', ARGS=--cluster; make sim SEED=n shows one"
	@echo "make model   explore the models of the log, of quorum mode and of a cluster, whole and with each rule broken"
	@echo "make kill    kill -9 under load, ARGS='--kills 200 --seed 7'"
	@echo "make chaos   random faults under load, ARGS='--minutes 30 --seed 7 --modes file,s3'"
	@echo "make rounds  three nodes, every client, random faults; ARGS='--rounds 200 --seed 7', '--quorum', or '--etcd-away-seconds 600'"
	@echo "make milvus  what Milvus does for ten minutes a step, ARGS='--stack-seconds 60 --modes s3'"
	@echo "make report-card  write docs/report-card.md: what each client can do with the broker"
	@echo "make lagging recover from 200 copies that lack some of the newest objects"
	@echo "make damage  damage every object of a log, one at a time, and repair it"
	@echo "make soak    write and delete, then compare the bucket with its tables, ARGS='--minutes 5'"
	@echo "make siege   attacks on the memory and patience of a broker in 1 GiB, ARGS='--scale 10'"
	@echo "make fuzz    coverage-guided fuzzing of every decoder, ARGS='--seconds 60 --target block'"
	@echo "make fixture  write the stored data that a test opens anew, after a change of format"
	@echo "make teeth   mistakes put into a copy of the sources: do the tests notice?"
	@echo "make three-logs  that suite with three data logs in every broker"
	@echo "make buckets part of that suite against a local S3 server"
	@echo "make bench   beside Apache Kafka and the device, ARGS='--rows small,open-loop --rounds 5'"
	@echo "make bench-page  docs/speed.md and its pictures, from what that noted"
	@echo "make versus  beside another checkout, OTHER=/path/to/it"
	@echo "make failover  how long partitions are away when a node is killed, and when a log moves"
	@echo "make many    what 1,000 topics of 10 partitions cost a cluster of three, ARGS='--topics 300'"
	@echo "make scale   what 10,000 partitions and groups on 3 logs cost each of them"
	@echo "make lock    resolve the dependencies again; make wheel, make fmt, make clean"

# A stamp per lock file: a changed lock installs again, an unchanged one costs nothing.
# The compiled help is built on the way, if there is a compiler.
$(VENV)/.run: requirements.lock pyproject.toml $(wildcard protocol/*.c wal_core/*/*.c)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; make PYTHON=/path/to/python names one"; exit 1; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --editable .
	$(BIN)/python -m compileall -q gateway protocol wal_core  # as an install does: half of a start
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PIP) install --require-hashes -r requirements-dev.lock
	touch $@

# Machine code of the modules that every request passes through, again whenever one of them changes.
# A minute or two; where it cannot be made it says so, and the brokers of tests run the sources.
TRANSLATED := $(VENV)/.translated
$(TRANSLATED): $(VENV)/.dev $(wildcard gateway/translated/*.py) gateway/translated/modules.txt \
		$(addsuffix .py,$(subst .,/,$(shell cat gateway/translated/modules.txt)))
	@mkdir -p build
	$(BIN)/python -m gateway.translated.backend > build/translated.log 2>&1 || { cat build/translated.log; exit 1; }
	@grep "not translated" build/translated.log || true
	touch $@

translated: $(TRANSLATED)

$(VENV)/.fuzz: requirements-fuzz.lock $(VENV)/.dev
	$(PIP) install --require-hashes -r requirements-fuzz.lock
	touch $@

run: $(VENV)/.run
	$(BIN)/woodpecker-gateway serve $(ARGS)

check: lint types contracts quick

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fmt: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

# All files, and of what is drawn from seeds or explored whole a sample.
quick: $(VENV)/.dev
	$(BIN)/pytest -n auto --dist loadgroup -m "not slow" protocol wal_core gateway

unit: $(VENV)/.dev
	$(BIN)/pytest -n auto --dist loadgroup protocol wal_core gateway

# Virtual time: whole gateways, clients, storage and faults from a seed, on all cores.
model: $(VENV)/.dev
	$(BIN)/python -m wal_core.testing.log_model
	$(BIN)/python -m wal_core.testing.quorum_model
	$(BIN)/python -m gateway.testing.cluster_model

sim: $(VENV)/.dev
	$(BIN)/python -m gateway.testing.sim $(if $(SEED),--seed $(SEED)) $(ARGS)

# More processes than cores: a test waits for brokers most of its time. In the order of the files, so
# that what takes longest is not left for the end.
SIDE_BY_SIDE := -n 3 --dist loadgroup --no-loadscope-reorder

compat: $(TRANSLATED)
	$(BIN)/pytest $(SIDE_BY_SIDE) compat_tests

# What differs in a bucket, and of the rest what storage can break: the whole suite takes as long again.
buckets: $(TRANSLATED)
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not storage_blind" --modes s3 --kills 5 compat_tests/wire compat_tests/faults compat_tests/chaos \
		compat_tests/clients/test_produce_consume.py compat_tests/clients/test_restart.py \
		compat_tests/clients/test_idempotence.py compat_tests/clients/test_kcat.py compat_tests/milvus/test_operator_probe.py \
		compat_tests/clients/test_groups.py::test_consume_commit_resume \
		compat_tests/clients/test_deletion.py::test_old_records_go_by_themselves
	$(BIN)/pytest $(SIDE_BY_SIDE) --modes gs,az --kills 3 compat_tests/faults/test_kill_loop.py

# Every broker with three data logs: what each request meets, and what must be fair or last, in a minute;
# and all of it, but for the fight in which an opener may get some of several logs and not others.
THREE_LOGS := $(SIDE_BY_SIDE) --serve-flags "--logs-count 3"

some-logs: $(TRANSLATED)
	$(BIN)/pytest $(THREE_LOGS) --modes object compat_tests/wire compat_tests/clients/test_fairness.py compat_tests/clients/test_restart.py

three-logs: $(TRANSLATED)
	$(BIN)/pytest $(THREE_LOGS) --kills 10 compat_tests/wire compat_tests/clients compat_tests/milvus compat_tests/faults compat_tests/hostile
	$(BIN)/pytest $(THREE_LOGS) --modes s3 -m "not storage_blind" --kills 5 --ignore compat_tests/fights/test_openers.py \
		compat_tests/wire compat_tests/faults compat_tests/chaos compat_tests/fights compat_tests/buckets compat_tests/stored \
		compat_tests/clients/test_produce_consume.py compat_tests/clients/test_restart.py compat_tests/clients/test_idempotence.py

test: lint types contracts unit compat buckets some-logs

kill: $(TRANSLATED)
	$(BIN)/pytest compat_tests/faults -m kill $(ARGS)

chaos: $(TRANSLATED)
	$(BIN)/pytest compat_tests/chaos -m chaos -s --modes file,s3 $(ARGS)

rounds: $(TRANSLATED)
	$(BIN)/python -m compat_tests.cluster.rounds $(ARGS)

milvus: $(TRANSLATED)
	$(BIN)/pytest compat_tests/milvus -n0 -s --timeout 3600 --stack-seconds 600 $(ARGS)

# From what the tests of clients see in one mode.
report-card: $(TRANSLATED)
	$(BIN)/pytest $(SIDE_BY_SIDE) --modes file --report-card build/report-card.json compat_tests/clients
	$(BIN)/python -m compat_tests.card build/report-card.json

damage: $(VENV)/.dev
	DAMAGE_WHOLE=1 $(BIN)/pytest wal_core/tests/test_damage.py -n0 --timeout 1200 $(ARGS)

lagging: $(VENV)/.dev
	LAGGING_DRAWS=200 $(BIN)/pytest -n0 wal_core/repair/tests/test_lagging.py compat_tests/stored/test_lagging.py $(ARGS)

soak: $(TRANSLATED)
	$(BIN)/pytest compat_tests/stored -m soak -s $(ARGS)

siege: $(TRANSLATED)
	$(BIN)/python -m compat_tests.siege $(ARGS)

# Stored data of the present format, for the test that opens them; until that format is released.
fixture: $(VENV)/.dev
	$(BIN)/python -m gateway.tests.fixtures

fuzz: $(VENV)/.fuzz
	$(BIN)/python -m gateway.testing.fuzz $(ARGS)

teeth: $(VENV)/.dev
	$(BIN)/python -m gateway.testing.teeth $(ARGS)

bench: $(TRANSLATED)
	$(BIN)/python -m compat_tests.bench $(ARGS)

# docs/speed.md and its pictures, from docs/speed/figures.json.
bench-page: $(VENV)/.dev
	$(BIN)/python -m compat_tests.bench.page

# This checkout and another, in alternating rounds of one run.
VERSUS_ROWS := small,batches-16k,batches-1m,librdkafka,consume-100b-librdkafka,consume-1k-librdkafka
versus: $(TRANSLATED)
	cd $(OTHER) && if test -d gateway/translated; then $(CURDIR)/$(BIN)/python -m gateway.translated.backend; fi
	$(BIN)/python -m compat_tests.bench --other $(OTHER) --sides file,other --rows $(VERSUS_ROWS) $(ARGS)

# Needs etcd from the development packages; ARGS="--kills 20 --moves 5 --quorum".
failover: $(TRANSLATED)
	$(BIN)/python -m compat_tests.cluster.takeovers $(ARGS)

many: $(TRANSLATED)
	$(BIN)/python -m compat_tests.cluster.many $(ARGS)

# Ends of segments, openings, a start, memory: of each log, beside what the others hold.
scale: $(VENV)/.dev
	$(BIN)/python -m gateway.testing.scale $(ARGS)

lock: $(VENV)/.dev
	$(PIP) install uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra etcd -c requirements.lock pyproject.toml -o requirements-etcd.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group fuzz -o requirements-fuzz.lock

wheel: $(VENV)/.dev
	rm -rf build/wheel
	$(PIP) wheel --no-deps --wheel-dir dist .

clean:
	rm -rf gateway/translated/built $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
