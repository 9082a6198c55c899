/* upscale-marks.c - what a picture says of its making after it was made larger. */
#include "tintype/tintype.h"

#include <string.h>

#define TT_TEXT_OF(x) #x
#define TT_SOFTWARE(major, minor, patch) "tintype " TT_TEXT_OF(major) "." TT_TEXT_OF(minor) "." TT_TEXT_OF(patch)

static const char *find(const tt_image_report *report, const char *key)
{
    for (size_t i = 0; i < report->n_entries; i++)
        if (strcmp(report->entries[i].key, key) == 0)
            return report->entries[i].text;
    return NULL;
}

/* IPTC's code of a source type that says that a machine made the picture or a part of it, else NULL. The text is an
 * address that ends in the code, or the code alone. */
static const char *machine_code(const char *text)
{
    static const char *const codes[] = {"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia",
                                        "algorithmicMedia", "compositeSynthetic"};
    const char *slash = text ? strrchr(text, '/') : NULL;
    const char *code = slash ? slash + 1 : text;
    for (size_t i = 0; code && i < sizeof codes / sizeof *codes; i++)
        if (strcmp(code, codes[i]) == 0)
            return codes[i];
    return NULL;
}

void tt_image_marks_upscaled(const tt_image_report *report, tt_image_marks *marks)
{
    const char *code = machine_code(find(report, "XMP:Iptc4xmpExt:DigitalSourceType"));
    const char *label = find(report, "AIGC");
    *marks = (tt_image_marks){.parameters = find(report, "parameters"),
                              .software = TT_SOFTWARE(TT_VERSION_MAJOR, TT_VERSION_MINOR, TT_VERSION_PATCH),
                              .digital_source_type = code ? code : "algorithmicallyEnhanced",
                              .aigc_json = label ? label : find(report, "XMP:TC260:AIGC")};
}
