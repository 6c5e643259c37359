"""Write the golden codes of compressors and of their other forms: python tests/compressors/golden.py NAME…

Only for a compressor that is new, or whose codes change on purpose: views that people have prepared change with them.
"""

import base64
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    spec = importlib.util.spec_from_file_location("small_compressors", HERE / "conftest.py")
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            kind, changes = conftest.FORMS.get(name, (name, {}))
            compressor = conftest.build_small(kind, Path(folder), **changes)
        codes = compressor.encode(conftest.TEXT)
        target = conftest.FIXTURES / name
        target.mkdir(parents=True, exist_ok=True)
        for suffix, content in compressor.files().items():
            (target / suffix).write_bytes(content)
        golden = {
            "compressor": kind,
            "config": compressor.config(),
            "files": sorted(compressor.files()),
            "fingerprint": compressor.fingerprint,
            "dtype": codes.dtype.str,
            "codes": base64.b64encode(codes.tobytes()).decode(),
        }
        (target / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
        print(f"{name}: {len(codes)} codes for {len(conftest.TEXT)} bytes")


if __name__ == "__main__":
    main()
