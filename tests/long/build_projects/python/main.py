# SPDX-License-Identifier: Apache-2.0
import importlib
import pathlib

values = []
for path in sorted(pathlib.Path(__file__).parent.glob("app/package_*/module_*.py")):
    values.append(importlib.import_module(f"app.{path.parent.name}.{path.stem}").value())
print(f"{len(values)} modules, {sum(values)}")
