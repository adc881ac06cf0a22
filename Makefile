# Every target makes the virtual environment that it needs; `make demo` is the place to start.
# make bench DATA=FOLDER (with lfw_dev/ and photos/), make accuracy DATA=FOLDER (a sub-folder for each person)
BIN := .venv/bin
STAGE ?= dev
INFRA := build/aws-tools/sam/bin/python infra
NPM := $(shell command -v npm)
CHECK_PAGE := $(if $(NPM),npm run --silent check,echo "Skipped the checks of the page's JavaScript and CSS: npm is not installed.")

PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

# Wheels only: what builds a source distribution would be fetched without hashes.
LOCKED := install -q --require-hashes --only-binary :all: -r

.PHONY: demo serve test test-slow test-aws test-all check bench accuracy lock sbom dist docs deploy migrate destroy erase smoke key clean
.venv/ready: pyproject.toml locks/run.txt
	@echo "Installing Mien and its libraries into .venv: about 600 MB, a minute or two."
	@python3 -m venv .venv && $(BIN)/pip $(subst -q ,,$(LOCKED)) locks/run.txt && $(BIN)/pip install -q --no-deps --no-build-isolation -e . && touch $@
.venv/tools: .venv/ready locks/dev.txt
	$(BIN)/pip $(LOCKED) locks/dev.txt && touch $@
node_modules/ready: package.json package-lock.json
	npm ci --silent --no-audit && touch $@
demo: .venv/ready ; @$(BIN)/mien demo
serve: .venv/ready ; @$(BIN)/mien serve
test: check ; $(PYTEST)
test-slow: .venv/tools ; $(PYTEST) -m "slow or web"
test-aws: .venv/tools ; $(BIN)/pytest -m aws tests/aws
test-all: test test-slow test-aws
check: .venv/tools $(if $(NPM),node_modules/ready) ; $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache && $(BIN)/vulture && $(CHECK_PAGE)
bench: .venv/tools ; $(BIN)/pip install -q --require-hashes -r locks/bench.txt && for b in "engine --data $(DATA)" "search --faces 10000 --peers" "server $(DATA)/lfw_dev" "rekognition $(DATA)/lfw_dev" "page $(DATA)"; do $(BIN)/python -m benchmarks.$$b || exit; done
accuracy: .venv/tools ; $(BIN)/python -m benchmarks.accuracy $(DATA)
lock: .venv/tools ; infra/lock.sh $(if $(UPGRADE),--upgrade)
sbom: build/release/ready .venv/tools
	mkdir -p dist && $(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/mien.cdx.json build/release
docs: build/docs-tools/ready ; build/docs-tools/bin/zensical build --strict --clean
build/docs-tools/ready: locks/docs.txt
	python3 -m venv --clear $(@D) && $(@D)/bin/pip $(LOCKED) locks/docs.txt && touch $@
dist: .venv/ready ; $(BIN)/hatchling build --directory dist
build/release/ready: locks/run.txt
	python3 -m venv --clear $(@D) && $(@D)/bin/pip $(LOCKED) locks/run.txt && touch $@
build/aws-tools/sam/ready: locks/sam.txt
	python3 -m venv $(@D) && $(@D)/bin/pip install -q --no-deps --no-compile --require-hashes -r locks/sam.txt && touch $@
build/aws-tools/stack/ready: locks/stack.txt pyproject.toml
	python3 -m venv $(@D) && $(@D)/bin/pip $(LOCKED) locks/stack.txt && $(@D)/bin/pip install -q --no-deps --no-build-isolation -e . && touch $@
# make deploy STAGE=prod WITH="AlarmEmail=ops@example.org"; make erase STAGE=prod
deploy: build/aws-tools/sam/ready ; $(INFRA)/package.py && $(INFRA)/stage.py deploy $(STAGE) $(WITH)
migrate: build/aws-tools/sam/ready ; $(INFRA)/package.py && $(INFRA)/stage.py migrate $(STAGE) $(WITH)
destroy erase: build/aws-tools/sam/ready ; $(INFRA)/stage.py $@ $(STAGE) $(WITH)
# make key NAME=phone; make smoke > smoke.md
smoke: build/aws-tools/stack/ready ; @build/aws-tools/stack/bin/mien --stack mien-$(STAGE) smoke $(PHOTOS)
key: build/aws-tools/stack/ready ; @build/aws-tools/stack/bin/mien --stack mien-$(STAGE) keys create $(or $(NAME),my-first-key)
clean: ; rm -rf .venv node_modules .mypy_cache .pytest_cache .ruff_cache
