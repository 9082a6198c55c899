/* xmp-write.c - the XMP packet of the AI marks: a fixed frame with escaped inserts. */
#include "base/json.h"
#include "image/png-write.h"
#include "image/xmp.h"

#include <string.h>

void tt_xml_escape(tt_text *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        switch (*c) {
        case '&':
            tt_text_add_string(out, "&amp;");
            break;
        case '<':
            tt_text_add_string(out, "&lt;");
            break;
        case '>':
            tt_text_add_string(out, "&gt;");
            break;
        case '"':
            tt_text_add_string(out, "&quot;");
            break;
        case '\'':
            tt_text_add_string(out, "&apos;");
            break;
        case '\t':
        case '\n':
        case '\r':
            tt_text_format(out, "&#%d;", *c);
            break;
        default:
            tt_text_add(out, c, 1);
        }
    }
}

/* A code of IPTC's list: letters only, so that it cannot break out of the address. */
static tt_status check_source_type(const char *code, tt_error *err)
{
    for (const char *c = code; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z')))
            return tt_fail(err, TT_ERROR_ARGUMENT,
                           "the digital source type \"%.64s\" is not a code of IPTC's list, such as "
                           "trainedAlgorithmicMedia",
                           code);
    return *code != '\0' ? TT_OK : tt_fail(err, TT_ERROR_ARGUMENT, "the digital source type is empty");
}

static tt_status check_aigc(const char *json, tt_error *err)
{
    json_t *root = NULL;
    if (tt_json_parse(json, strlen(json), "the AIGC label", &root, err) != TT_OK)
        return TT_ERROR_ARGUMENT; /* the sentence is the parser's */
    json_decref(root);
    return TT_OK;
}

static void add_property(tt_text *out, const char *name, const char *prefix, const char *value)
{
    tt_text_format(out, "   <%s>%s", name, prefix);
    tt_xml_escape(out, value);
    tt_text_format(out, "</%s>\n", name);
}

tt_status tt_xmp_packet(const tt_image_marks *marks, tt_text *out, tt_error *err)
{
    const char *source_type = marks == NULL ? NULL : marks->digital_source_type;
    const char *aigc = marks == NULL ? NULL : marks->aigc_json;
    tt_status status = source_type == NULL ? TT_OK : check_source_type(source_type, err);
    if (status == TT_OK && aigc != NULL)
        status = check_aigc(aigc, err);
    if (status != TT_OK || (source_type == NULL && aigc == NULL))
        return status;
    tt_text_add_string(out, "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
                            "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n"
                            " <rdf:RDF xmlns:rdf=\"" TT_XMP_RDF "\">\n"
                            "  <rdf:Description rdf:about=\"\"\n"
                            "    xmlns:Iptc4xmpExt=\"" TT_XMP_IPTC "\"\n"
                            "    xmlns:TC260=\"" TT_XMP_TC260 "\">\n");
    if (source_type != NULL)
        add_property(out, "Iptc4xmpExt:DigitalSourceType", TT_IPTC_SOURCE_TYPES, source_type);
    if (aigc != NULL)
        add_property(out, "TC260:AIGC", "", aigc);
    tt_text_add_string(out, "  </rdf:Description>\n"
                            " </rdf:RDF>\n"
                            "</x:xmpmeta>\n"
                            "<?xpacket end=\"r\"?>");
    return tt_text_status(out, err);
}
