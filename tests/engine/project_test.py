import json

import pytest

from samjax.engine.project import Project, open_project, read_instructions


def test_a_new_folder_becomes_a_project_that_people_can_edit(tmp_path):
    folder = tmp_path / "streets"
    project = open_project(folder)
    assert project == Project(name="streets")
    assert sorted(p.name for p in folder.iterdir()) == [
        *("images", "instructions.md", "project.json"),
    ]
    assert "30 seconds" in read_instructions(folder, project)
    content = json.loads((folder / "project.json").read_text())
    content |= {"blind": True, "gold_images": ["a.png"], "gold_share": 0.05}
    (folder / "project.json").write_text(json.dumps(content))
    (folder / "instructions.md").write_text("Mine")
    again = open_project(folder)
    assert again.blind and again.rules.gold_images == ("a.png",)
    assert read_instructions(folder, again) == "Mine"


def test_settings_that_are_left_out_have_their_defaults(tmp_path):
    (tmp_path / "project.json").write_text('{"review_share": 0}')
    assert open_project(tmp_path) == Project(review_share=0.0)
    assert read_instructions(tmp_path, Project()) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "no JSON object"),
        ("{", "project.json"),
        ('{"blnd": true}', "got the setting 'blnd', expected name, instructions"),
        ('{"blind": 1}', "for blind, expected true or false"),
        ('{"gold_share": 1.5}', "for gold_share, expected a number from 0 to 1"),
        ('{"gold_share": true}', "expected a number"),
        ('{"gold_images": "a.png"}', "expected a list of strings"),
        ('{"round": 1.5}', "expected a whole number"),
        ('{"name": 3}', "expected a string"),
        ('{"lease_minutes": 0}', "expected more than 0"),
    ],
)
def test_other_settings_are_refused_with_what_was_expected(tmp_path, text, said):
    (tmp_path / "project.json").write_text(text)
    with pytest.raises(ValueError, match="project.json") as caught:
        open_project(tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["../secret.md", "/etc/hostname", "link.md"])
def test_instructions_are_a_file_of_the_project(tmp_path, name):
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "secret.md").write_text("secret")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    with pytest.raises(ValueError, match="not in the project's folder"):
        read_instructions(folder, Project(instructions=name))


def test_instructions_are_bounded(tmp_path):
    (tmp_path / "instructions.md").write_text("x" * 300_000)
    with pytest.raises(ValueError, match="300000 bytes, expected at most"):
        read_instructions(tmp_path, Project())
