from elman.apps.decode.pyctcdecode import BeamSearchDecoderCTC as BeamSearchDecoderCTC
from elman.apps.decode.pyctcdecode import build_ctcdecoder as build_ctcdecoder
