"""The documents agree with the code: the reference is fresh, links lead somewhere, blocks parse, commands exist."""

import ast
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from docs.facts import api_methods, command_options, error_reasons
from docs.generate import pages
from modelport.api.ml_v1 import messages
from modelport.api.ml_v1.convert import version_draft
from modelport.api.ml_v1.reading import parse
from modelport.cli.presets import PRESETS
from modelport.control.runtime_catalogue import SHIPPED, read_catalogue
from modelport.control.version_rules import version_violations
from modelport.core.conditions import ConditionType
from modelport.core.names import ModelName
from modelport.server.config import settings as server_settings
from modelport.server.listener.listener_config import listener_settings
from modelport.settings import Settings
from tests.documents import ALL_BLOCKS, DOCUMENTS, REFERENCE, ROOT, Block, shell_lines

SHELLS = ("sh", "console")
LANGUAGES = {*SHELLS, "json", "yaml", "python", "text", "dockerfile", "ini"}
# What would be true on one machine only.
TRANSIENT = re.compile(r"/tmp/|/work/|/root/|/home/|\.internal\b|localhost")
# What is wrong with a container may well be a path in it, or an address.
INSIDE_A_CONTAINER = {"/tmp/", "/home/", "/root/", "localhost"}
SEPARATORS = ("|", "&&", ";", ">")
COMMANDS = command_options()


def blocks_in(*languages: str) -> list[Block]:
    return [block for block in ALL_BLOCKS if block.language in languages]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def reference(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_the_reference_is_what_the_generator_writes() -> None:
    written = {str(path.relative_to(REFERENCE)): path.read_text(encoding="utf-8") for path in REFERENCE.rglob("*.md")}
    stale = [name for name, text in pages().items() if written.get(name) != text]
    assert not stale, "run scripts/reference"
    assert set(written) == set(pages())


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("settings.md", {f"MODELPORT_{name.upper()}" for name in Settings.model_fields}),
        ("errors.md", error_reasons()),
        ("api.md", api_methods()),
        ("conditions.md", {one.value for one in ConditionType}),
        ("presets.md", set(PRESETS)),
        ("prediction-server.md", {one.flag for one in server_settings().values()}),
        ("listener.md", {one.variable for one in listener_settings().values()}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_everything_that_has_a_name_is_documented(page: str, names: set[str]) -> None:
    text = reference(page)
    assert len(names) > 4
    assert not {name for name in names if f"`{name}`" not in text}


def test_every_command_and_option_is_documented() -> None:
    text = reference("cli.md")
    for name, options in COMMANDS.items():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        shared = text.partition("\n## ")[0]
        for option in options - {"-h"}:
            assert option in section + shared, f"{name} {option}"


def test_every_reason_that_the_api_writes_is_documented() -> None:
    text = reference("errors.md")
    for path in (ROOT / "src" / "modelport" / "api").rglob("*errors.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            value = str(getattr(node, "value", ""))
            if isinstance(node, ast.Constant) and re.fullmatch(r"[A-Z]+(_[A-Z]+)+", value):
                assert f"`{value}`" in text, f"{value} of {path.name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_internal_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            targets = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8"))
            waiting += [(page.parent / target).resolve() for target in targets if "://" not in target]
    assert [relative(page) for page in DOCUMENTS if page not in reached] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_nothing_is_true_on_one_machine_only(document: Path) -> None:
    found = set(TRANSIENT.findall(document.read_text(encoding="utf-8")))
    of_containers = document.parent.name == "findings" or document.name == "presets.md"
    assert found - (INSIDE_A_CONTAINER if of_containers else set()) == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_modules_that_are_named_exist(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for name in re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)`", text):
        assert (ROOT / "src" / "modelport" / name).exists() or (ROOT / name).exists(), name


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=str)
def test_every_block_names_its_language(block: Block) -> None:
    assert block.language in LANGUAGES


@pytest.mark.parametrize("block", blocks_in("json"), ids=str)
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks_in("yaml"), ids=str)
def test_yaml_parses(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)


@pytest.mark.parametrize("block", blocks_in("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", blocks_in(*SHELLS), ids=str)
def test_shell_parses(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input="\n".join(shell_lines(block)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", blocks_in(*SHELLS), ids=str)
def test_commands_and_options_exist(block: Block) -> None:
    for line in shell_lines(block):
        words = shlex.split(line, comments=True)
        for index, word in enumerate(words):
            is_program = index == 0 or words[index - 1] in SEPARATORS
            if is_program and word == "modelport":
                check_command(words[index + 1 :])


def check_command(words: list[str]) -> None:
    words = words[: next((index for index, word in enumerate(words) if word in SEPARATORS), len(words))]
    name = next(name for size in (2, 1) if (name := " ".join(["modelport", *words[:size]])) in COMMANDS)
    options = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
    assert options <= COMMANDS[name], f"{name} has no {options - COMMANDS[name]}"


@pytest.mark.parametrize("block", [block for block in ALL_BLOCKS if block.marker == "version"], ids=str)
def test_versions_shown_are_accepted(block: Block) -> None:
    document = yaml.safe_load(block.text)
    draft = version_draft(parse(document, messages.Version, "version"))
    assert version_violations(draft, ModelName("demo", "iris"), read_catalogue(SHIPPED)) == ()


def test_markers_are_understood() -> None:
    known = re.compile(r"|run( engine)?( exit \d)?|version|file: [\w./-]+")
    for block in ALL_BLOCKS:
        assert known.fullmatch(block.marker), f"{block}: {block.marker}"
