"""The four rings of the architecture, held by reading the imports and the module level."""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("cds_service", "smart_app", "models", "fhir_profiles")
NOT_SHIPPED = {"tests", "benchmarks"}
# The tree of errors is one vocabulary for every ring; it imports the standard library only, and
# `test_each_module_imports_what_its_ring_allows` holds that too.
ERRORS = "cds_service.errors"
DOMAIN, FHIR, USECASES = "cds_service.domain", "cds_service.fhir", "cds_service.usecases"
PORTS = "cds_service.usecases.ports"


@dataclass(frozen=True)
class Ring:
    """What the modules of one place may import besides the standard library and themselves."""

    place: str
    ours: tuple[str, ...] = ()
    libraries: frozenset[str] | None = frozenset()  # None: any


RINGS = (
    Ring(ERRORS),
    Ring("cds_service.telemetry"),
    Ring("cds_service.settings", (ERRORS,)),
    Ring(DOMAIN, (ERRORS,)),
    Ring(FHIR, (DOMAIN, ERRORS), frozenset({"fhir"})),
    Ring(USECASES, (DOMAIN, ERRORS, FHIR)),
    Ring("cds_service.intake", (DOMAIN, ERRORS, FHIR, USECASES)),
    Ring("cds_service.adapters", (DOMAIN, ERRORS, FHIR, PORTS, "models"), None),
    Ring(
        "cds_service.web",
        (DOMAIN, ERRORS, FHIR, USECASES, "cds_service.intake"),
        frozenset({"flask", "werkzeug", "joserfc"}),
    ),
    Ring(
        "smart_app",
        # The picture route draws heatmap, outline and legend: pure numpy, no model is run.
        (DOMAIN, ERRORS, FHIR, USECASES, "models.explain", "models.overlay"),
        frozenset(
            {
                *("flask", "flask_babel", "babel", "werkzeug", "joserfc", "authlib", "requests"),
                *("redis", "numpy", "PIL"),
            }
        ),
    ),
    Ring("models", (), frozenset({"numpy", "PIL", "yaml"})),
    Ring("cds_service.lint"),  # knows nothing of Sightline
    Ring("cds_service.sandbox", (), None),
)
# Who may import a place that most must not know; tests always may.
RESERVED = {
    "cds_service.sandbox": ("cds_service.demo", "cds_service.cli"),
    "cds_service.demo": ("cds_service.cli",),
    "cds_service.wiring": (
        "cds_service.app",
        "cds_service.cli",
        "cds_service.demo",
        "cds_service.worker",
    ),
    "smart_app": ("cds_service.app", "cds_service.wiring"),
}
READS_THE_ENVIRONMENT = (
    "cds_service.settings",
    "cds_service.app",
    "cds_service.cli",
    "cds_service.demo",
)
# Alembic executes its env.py and its revisions; nothing imports them.
EXECUTED_BY_ALEMBIC = "cds_service.adapters.migrations"
# Calls that touch a file, a socket, a process, the clock or a random source, by their last name,
# and modules whose every call does.
IMPURE_CALLS = {
    *("open", "connect", "create_engine", "from_url", "urlopen", "print", "basicConfig"),
    *("read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "touch", "dcmread"),
    *("exists", "is_file", "is_dir", "iterdir", "glob", "rglob", "cwd", "home", "getcwd"),
    *("getenv", "now", "utcnow", "today", "uuid1", "uuid4", "InferenceSession"),
}
IMPURE_MODULES = {
    *("requests", "socket", "subprocess", "random", "secrets", "time", "tempfile", "shutil"),
}


def modules() -> list[tuple[str, Path]]:
    """Every module of the wheel with its dotted name; training code and npm's are not."""
    found = []
    for path in sorted(
        path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")
    ):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        if not {"train", "node_modules"} & set(parts):
            found.append((".".join(parts).removesuffix(".__init__"), path))
    return found


MODULES = modules()
every_module = pytest.mark.parametrize(("name", "path"), MODULES, ids=[name for name, _ in MODULES])


def is_in(module: str, place: str) -> bool:
    # `cds_service.cli` stands for cli_analyze and cli_ehr too.
    return module == place or module.startswith((f"{place}.", f"{place}_"))


def imports_of(source: str) -> set[str]:
    """Every imported name, `from a import b` as "a.b", wherever in the module it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def forbidden_imports(module: str, source: str) -> list[str]:
    found = []
    rings = [ring for ring in RINGS if is_in(module, ring.place)]
    for name in sorted(imports_of(source)):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        if top in NOT_SHIPPED:
            found.append(f"{module} imports {name}, which the wheel lacks")
        for ring in rings:
            if top in PACKAGES:
                allowed = any(is_in(name, place) for place in (ring.place, *ring.ours))
            else:
                allowed = ring.libraries is None or top in ring.libraries
            if not allowed:
                found.append(f"{module} imports {name}")
        for place, readers in RESERVED.items():
            if is_in(name, place) and not any(is_in(module, to) for to in (place, *readers)):
                found.append(f"{module} imports {name}, reserved to {', '.join(readers)}")
    return found


def reads_environment(source: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv", "environb"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        for node in ast.walk(ast.parse(source))
    ) or any(name in {"os.environ", "os.getenv"} for name in imports_of(source))


def executed_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when the module is imported: no function body, and not `__main__`."""
    if isinstance(node, ast.Lambda) or (
        isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
    ):
        return
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        children = (*node.decorator_list, node.args)
    for child in children:
        yield from executed_at_import(child)


def impure_at_import(source: str) -> list[str]:
    found = []
    for node in executed_at_import(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.rpartition(".")[2] in IMPURE_CALLS or (
                "." in called and called.partition(".")[0] in IMPURE_MODULES
            ):
                found.append(f"line {node.lineno}: {called}()")
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ":
            found.append(f"line {node.lineno}: os.environ")
    return found


@every_module
def test_each_module_imports_what_its_ring_allows(name: str, path: Path) -> None:
    assert forbidden_imports(name, path.read_text()) == []


@every_module
def test_only_the_front_doors_read_the_environment(name: str, path: Path) -> None:
    may = any(is_in(name, place) for place in READS_THE_ENVIRONMENT)

    assert may or not reads_environment(path.read_text())


@every_module
def test_importing_a_module_does_no_input_or_output(name: str, path: Path) -> None:
    assert is_in(name, EXECUTED_BY_ALEMBIC) or impure_at_import(path.read_text()) == []


def test_models_reach_the_core_through_a_few_adapters_only() -> None:
    """Those that run models and read pixels, that draw, and that keep and check models."""
    readers = {
        name
        for name, path in MODULES
        if is_in(name, "cds_service")
        and not is_in(name, "cds_service.wiring")
        and any(is_in(x, "models") for x in imports_of(path.read_text()))
    }

    assert readers <= {
        "cds_service.adapters.runtime",
        "cds_service.adapters.pixels",
        "cds_service.adapters.model_sheets",
        "cds_service.adapters.heatmap",
        "cds_service.adapters.model_check",
        "cds_service.adapters.model_shelf",
        "cds_service.adapters.model_store",
        "cds_service.adapters.probe",
        "cds_service.cli_models",
    }


def test_every_module_of_the_core_has_a_ring_or_is_a_front_door() -> None:
    front_doors = ("wiring", "app", "worker", "cli", "demo")
    ringless = [
        name
        for name, _ in MODULES
        if name not in PACKAGES
        and not any(is_in(name, ring.place) for ring in RINGS)
        and not any(is_in(name, f"cds_service.{door}") for door in front_doors)
    ]

    assert ringless == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cds_service.domain.card", "import requests"),
        ("cds_service.domain.card", "from cds_service.usecases import ports"),
        ("cds_service.fhir.imaging_study", "from cds_service.usecases.ports import Jobs"),
        ("cds_service.usecases.answer_hook", "def f() -> None:\n    import flask"),
        ("cds_service.usecases.answer_hook", "from cds_service.adapters import ledger"),
        ("cds_service.adapters.ehr", "from cds_service.usecases.run_inference import Workbench"),
        ("cds_service.adapters.ehr", "from cds_service.web.problems import problem"),
        ("cds_service.web.hooks", "from cds_service import wiring"),
        ("cds_service.web.hooks", "import onnxruntime"),
        ("cds_service.app", "from cds_service.sandbox.app import create_sandbox"),
        ("models.prepare", "import torch"),
        ("smart_app.launch", "import cds_service.adapters.ledger"),
        ("cds_service.worker", "from tests.builders import a_study"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert forbidden_imports(module, source)


@pytest.mark.parametrize(
    "source",
    [
        "DATA = open('x').read()",
        "import requests\nKEYS = requests.get('http://127.0.0.1/')",
        "import os\nclass A:\n    home = os.environ['HOME']",
        "from datetime import datetime\ndef f(at=datetime.now()): ...",
        "from pathlib import Path\nCARD = Path('card.yaml').read_text()",
    ],
)
def test_input_or_output_at_import_is_found(source: str) -> None:
    assert impure_at_import(source)


def test_the_same_inside_a_function_is_not_at_import() -> None:
    source = "import os\ndef main() -> None:\n    print(open(os.environ['X']).read())\n"

    assert impure_at_import(source) == []
    assert reads_environment(source)
