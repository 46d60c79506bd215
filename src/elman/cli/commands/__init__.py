"""The commands, one module each; `compress` holds decompress and `export` import as well."""
