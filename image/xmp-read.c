/* xmp-read.c - a small scanner of XML tags, strict about what it accepts: it looks for one property and knows no DTDs,
 * so there are no entities to expand but the five of XML and character references. */
#include "image/xmp.h"

#include <stdlib.h>
#include <string.h>

/* A piece of the packet. */
typedef struct piece {
    const char *begin;
    size_t n_bytes;
} piece;

/* A start tag <name attributes> or <name attributes/>. */
typedef struct tag {
    piece name, attributes;
    const char *end; /* behind '>' */
    bool is_empty;
} tag;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool equals(piece a, const char *text)
{
    return a.n_bytes == strlen(text) && memcmp(a.begin, text, a.n_bytes) == 0;
}

static bool starts(const char *at, const char *text)
{
    return strncmp(at, text, strlen(text)) == 0;
}

/* Behind the next occurrence of text, or NULL. */
static const char *behind(const char *at, const char *text)
{
    const char *found = strstr(at, text);
    return found == NULL ? NULL : found + strlen(text);
}

static piece read_name(const char *at)
{
    piece name = {at, strcspn(at, " \t\r\n=/<>\"'")};
    return name;
}

/* The next attribute of a tag, name="value" or name='value'; NULL at the end or where it is broken. */
static const char *next_attribute(const char *at, const char *end, piece *name, piece *value)
{
    while (at < end && is_blank(*at))
        at++;
    *name = read_name(at);
    at += name->n_bytes;
    while (at < end && is_blank(*at))
        at++;
    if (name->n_bytes == 0 || at >= end || *at++ != '=')
        return NULL;
    while (at < end && is_blank(*at))
        at++;
    if (at >= end || (*at != '"' && *at != '\''))
        return NULL;
    const char *close = memchr(at + 1, *at, (size_t)(end - at - 1));
    if (close == NULL)
        return NULL;
    *value = (piece){at + 1, (size_t)(close - at - 1)};
    return close + 1;
}

/* The end of a tag's attributes: '>' outside quotes. */
static const char *find_tag_end(const char *at)
{
    for (; *at != '\0' && *at != '>'; at++)
        if (*at == '"' || *at == '\'') {
            at = strchr(at + 1, *at);
            if (at == NULL)
                return NULL;
        }
    return *at == '>' ? at : NULL;
}

/* The next start tag at or behind `at`, over comments, CDATA, instructions and end tags. False at the end. */
static bool next_tag(const char *at, tag *found)
{
    while (at != NULL && (at = strchr(at, '<')) != NULL) {
        if (starts(at, "<!--"))
            at = behind(at, "-->");
        else if (starts(at, "<![CDATA["))
            at = behind(at, "]]>");
        else if (starts(at, "<?"))
            at = behind(at, "?>");
        else if (at[1] == '/' || at[1] == '!')
            at++;
        else
            break;
    }
    const char *close = at == NULL ? NULL : find_tag_end(at + 1);
    if (close == NULL)
        return false;
    found->name = read_name(at + 1);
    found->is_empty = close[-1] == '/';
    found->attributes.begin = found->name.begin + found->name.n_bytes;
    const char *last = found->is_empty ? close - 1 : close;
    found->attributes.n_bytes = last > found->attributes.begin ? (size_t)(last - found->attributes.begin) : 0;
    found->end = close + 1;
    return true;
}

/* The first prefix that the packet declares for a namespace, on whatever element. */
static bool find_prefix(const char *packet, const char *name_space, piece *prefix)
{
    for (tag element; next_tag(packet, &element); packet = element.end) {
        piece key, value;
        const char *end = element.attributes.begin + element.attributes.n_bytes;
        for (const char *at = element.attributes.begin; (at = next_attribute(at, end, &key, &value)) != NULL;)
            if (key.n_bytes > 6 && memcmp(key.begin, "xmlns:", 6) == 0 && equals(value, name_space)) {
                *prefix = (piece){key.begin + 6, key.n_bytes - 6};
                return true;
            }
    }
    return false;
}

/* True for "prefix:local". */
static bool is_name(piece name, piece prefix, const char *local)
{
    return name.n_bytes == prefix.n_bytes + 1 + strlen(local) &&
           memcmp(name.begin, prefix.begin, prefix.n_bytes) == 0 && name.begin[prefix.n_bytes] == ':' &&
           memcmp(name.begin + prefix.n_bytes + 1, local, strlen(local)) == 0;
}

static void add_utf8(tt_text *out, unsigned long point)
{
    char bytes[4];
    size_t n = 0;
    if (point < 0x80) {
        bytes[n++] = (char)point;
    } else if (point < 0x800) {
        bytes[n++] = (char)(0xc0 | point >> 6);
    } else if (point < 0x10000) {
        bytes[n++] = (char)(0xe0 | point >> 12);
        bytes[n++] = (char)(0x80 | (point >> 6 & 0x3f));
    } else {
        bytes[n++] = (char)(0xf0 | point >> 18);
        bytes[n++] = (char)(0x80 | (point >> 12 & 0x3f));
        bytes[n++] = (char)(0x80 | (point >> 6 & 0x3f));
    }
    if (point >= 0x80)
        bytes[n++] = (char)(0x80 | (point & 0x3f));
    tt_text_add(out, bytes, n);
}

/* "&#10;" or "&#xA;": a character that XML allows. */
static bool add_reference(tt_text *out, const char *digits)
{
    const bool is_hex = *digits == 'x';
    char *end;
    digits += is_hex;
    if (*digits == '+' || *digits == '-' || is_blank(*digits))
        return false;
    const unsigned long point = strtoul(digits, &end, is_hex ? 16 : 10);
    const bool is_allowed = point == '\t' || point == '\n' || point == '\r' || (point >= 0x20 && point < 0xd800) ||
                            (point >= 0xe000 && point < 0xfffe) || (point >= 0x10000 && point < 0x110000);
    if (end == digits || *end != ';' || !is_allowed)
        return false;
    add_utf8(out, point);
    return true;
}

/* Appends text without XML's escapes; false where one is unknown. */
static bool unescape(piece text, tt_text *out)
{
    static const struct {
        const char *name, *text;
    } entities[] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}};
    const char *end = text.begin + text.n_bytes;
    for (const char *at = text.begin; at < end;) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        tt_text_add(out, at, (size_t)((next == NULL ? end : next) - at));
        if (next == NULL)
            break;
        at = memchr(next, ';', (size_t)(end - next));
        if (at == NULL)
            return false;
        at++;
        if (next[1] == '#') {
            if (!add_reference(out, next + 2))
                return false;
            continue;
        }
        size_t i = 0;
        while (i < sizeof entities / sizeof *entities && !equals((piece){next, (size_t)(at - next)}, entities[i].name))
            i++;
        if (i == sizeof entities / sizeof *entities)
            return false;
        tt_text_add_string(out, entities[i].text);
    }
    return true;
}

/* The value that an element of the property's name holds: its text, or rdf:resource. */
static bool element_value(const tag *element, piece rdf, tt_text *out)
{
    piece key, value;
    const char *end = element->attributes.begin + element->attributes.n_bytes;
    for (const char *at = element->attributes.begin; (at = next_attribute(at, end, &key, &value)) != NULL;)
        if (is_name(key, rdf, "resource"))
            return unescape(value, out);
    if (element->is_empty)
        return false;
    const char *close = strchr(element->end, '<');
    if (close == NULL || close[1] != '/')
        return false; /* structures are not simple properties */
    return unescape((piece){element->end, (size_t)(close - element->end)}, out);
}

bool tt_xmp_find(const char *packet, const char *name_space, const char *name, tt_text *out)
{
    piece prefix, rdf;
    const char *at = packet;
    if (!find_prefix(packet, TT_XMP_RDF, &rdf) || !find_prefix(packet, name_space, &prefix))
        return false;
    for (tag element; next_tag(at, &element); at = element.end) {
        piece key, value;
        const char *end = element.attributes.begin + element.attributes.n_bytes;
        if (is_name(element.name, prefix, name))
            return element_value(&element, rdf, out);
        for (const char *next = element.attributes.begin; (next = next_attribute(next, end, &key, &value)) != NULL;)
            if (is_name(key, prefix, name))
                return unescape(value, out);
    }
    return false;
}
