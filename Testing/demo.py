"""The demonstration inside Slicer: a phantom patient through the module and its MRML nodes.

    Slicer --no-main-window --testing --additional-module-paths MRITranslate --python-script Testing/demo.py
    make demo

Makes a digital head, translates its T1 to T2 and to CT, explains both, prints scores against the truth, and writes the
volumes, a scene that Slicer opens and a figure that tells it all into `demo-output/` (or the folder given after `--`).
It runs in Slicer and in the test host alike.
"""

import json
import sys
import time

import numpy as np
import SimpleITK as sitk
import slicer
from MRITranslatePanel.scene import geometryOfNode, ijkToRAS

from MRITranslate import MRITranslateLogic
from MRITranslateLib import demo
from MRITranslateLib.catalog import find, read_card_text
from MRITranslateLib.errors import InputError
from MRITranslateLib.figure import Row, figure, main_scores, score_line


def image_of(node):
    """A volume node's voxels and grid as a SimpleITK image (LPS)."""
    image = sitk.GetImageFromArray(slicer.util.arrayFromVolume(node))
    grid = geometryOfNode(node)
    image.SetSpacing(grid["spacing"])
    image.SetOrigin(grid["origin"])
    image.SetDirection(grid["direction"])
    return image


def say(text):
    print(text, flush=True)


def save(node, path):
    if not slicer.util.saveNode(node, str(path)):
        raise InputError(f'"{path}" could not be written; check the folder and the space on the disk.')


def run(folder):
    """Make, translate, explain, score, and write everything into `folder`."""
    started = time.perf_counter()
    out = demo.output_folder(folder)
    cards = {name: json.loads(read_card_text(find(name))) for name in demo.MODELS}
    slicer.mrmlScene.Clear()
    logic = MRITranslateLogic()
    say(f"Making phantom patient {demo.SEED} with {demo.LESIONS} lesions, {' x '.join(map(str, demo.SHAPE))} voxels")
    patient = logic.loadPhantom(demo.SEED, demo.SHAPE, demo.LESIONS)
    scan = patient["t1"]
    mask = demo.ventricles(image_of(patient["labels"]))
    region = slicer.util.addVolumeFromArray(
        sitk.GetArrayFromImage(mask).astype(np.uint8), ijkToRAS(scan), "Lateral ventricles", "vtkMRMLLabelMapVolumeNode"
    )
    save(scan, out / "t1.nii.gz")
    rows = []
    for name, card in cards.items():
        target = card["target"]
        key = target.lower()
        say(f"Translating T1 to {target}")
        synthetic = logic.translate(scan, name)
        save(synthetic, out / f"{key}_synthetic.nii.gz")
        save(patient[key], out / f"{key}_truth.nii.gz")
        say(f"Explaining the {target}")
        heatmaps = {demo.WHY_VENTRICLES: logic.explain(scan, name, "region", regionNode=region)[0]}
        if card["discriminator"] is not None:
            heatmaps[demo.WHY_REAL] = logic.explain(scan, name, "realism")[0]
        for kind, node in zip(("ventricles", "realism"), heatmaps.values(), strict=False):
            save(node, out / f"{key}_heatmap_{kind}.nii.gz")
        table = logic.evaluate(patient[key], synthetic)
        measures = [table.GetTable().GetColumn(0).GetValue(row) for row in range(table.GetNumberOfRows())]
        values = dict(zip(measures, slicer.util.arrayFromTableColumn(table, "Value"), strict=True))
        images = {title: image_of(node) for title, node in heatmaps.items()}
        truth, made = image_of(patient[key]), image_of(synthetic)
        rows.append(Row(name, target, image_of(scan), made, truth, images, mask, main_scores(target, values)))
    if not slicer.util.saveScene(str(out / "scene.mrb")):
        raise InputError(f'The scene could not be written to "{out}"; check the folder and the space on the disk.')
    try:
        figure(rows, out / "figure.png", demo.TITLE.format(seed=demo.SEED))
    except ModuleNotFoundError as missing:  # Slicer's own Python comes without matplotlib
        say(f'No figure: {missing.name} is missing; slicer.util.pip_install("{missing.name}") adds it.')
    say("\nAgainst the phantom's own truth (T2 after one affine fit of the intensities; a phantom is no patient):")
    for row in rows:
        say(f"  {row.model:<10} {score_line(row)}")
    say(f"\n{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    say(f"Done in {time.perf_counter() - started:.0f} s. Synthetic images, not for diagnosis.")


def main():
    """Run, and leave the application with an exit code unless somebody sits before its window."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--"]
    code = 0
    try:
        run(arguments[0] if arguments else "demo-output")
    except (InputError, RuntimeError) as error:
        print(f"The demonstration stopped: {error}", file=sys.stderr, flush=True)
        code = 1
    if code or slicer.util.mainWindow() is None:
        slicer.util.exit(code)


main()
