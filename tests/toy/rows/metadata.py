from tl_keras.export.formats.metadata import table


def inputs(builder, settings):
    return [table(builder, 7, offset={0: builder.CreateString("row")})]
