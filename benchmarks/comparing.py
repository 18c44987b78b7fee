"""What comparing two runs costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness import ON, Bench, Row, project, small_files
from transfer import FOLDER, OURS

LIMIT = 1.0
APP = '''
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir, "out")
    for i in range(cfg.get("files", 0)):
        if i % 1000 == 0:
            folder = out / f"{i // 1000:04d}"
            folder.mkdir(parents=True)
        (folder / f"f{i}.txt").write_text(f"{i} {cfg.salt if i % 10 == 0 else 0}")

if __name__ == "__main__":
    main()
'''


def diff(bench: Bench) -> Iterator[Row]:
    """Two runs of which every file of code and some of the data differ."""
    code, data = bench.scale.files, bench.scale.small_files
    root = project(bench, "compared", code, FOLDER)
    small_files(root / "data", data, lambda i: b"%d" % i)
    bench.app(root, ON, "hydra.run.dir=outputs/a")
    for path in (root / "src").rglob("*.txt"):
        path.write_text(path.read_text() + "# edited\n")
    next((root / "data").rglob("*.txt")).write_text("another")
    bench.app(root, ON, "hydra.run.dir=outputs/b", "+lr=0.2")
    yield _row(bench, root, f"`diff` of {code:,} files of code, {data:,} of data")


def diff_of_outputs(bench: Bench) -> Iterator[Row]:
    """Two runs of which a tenth of very many output files differs."""
    files = bench.scale.small_files
    root = project(bench, "written", 10, {"salt": 0})
    (root / "app.py").write_text(APP)
    for name in ("a", "b"):
        bench.app(root, ON, f"hydra.run.dir=outputs/{name}", f"+files={files}", f"salt={name}")
    yield _row(bench, root, f"`diff` of {files:,} output files")


def _row(bench: Bench, root: Path, work: str) -> Row:
    words = (*OURS, "diff", "outputs/a", "outputs/b")
    taken = bench.medians(ours=lambda: bench.timed(*words, cwd=root, fine=(1,)))["ours"]
    return Row(work, "", taken, 0.0, LIMIT, "1 s")
