"""The warm worker process: `python -m MRITranslateLib.service --folder DIR`, its protocol and its clients.

`messages` (standard library only) and `volumes` (numpy only) also run inside Slicer; nothing here imports torch.
"""
