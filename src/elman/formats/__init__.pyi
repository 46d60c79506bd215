from elman.formats.exchange import FORMATS as FORMATS
from elman.formats.exchange import export as export
from elman.formats.exchange import find_format as find_format
from elman.formats.exchange import format_help as format_help
from elman.formats.exchange import import_ as import_
from elman.formats.exchange import list_export_options as list_export_options
from elman.formats.format import Format as Format
from elman.formats.format import ModelInfo as ModelInfo
