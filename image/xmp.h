/* xmp.h - the part of XMP (ISO 16684-1) that the AI marks need. Inside the room only. */
#ifndef TT_IMAGE_XMP_H
#define TT_IMAGE_XMP_H

#include "base/text.h"

#define TT_XMP_IPTC "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
#define TT_XMP_TC260 "http://www.tc260.org.cn/ns/AIGC/1.0/"
#define TT_XMP_RDF "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
#define TT_IPTC_SOURCE_TYPES "http://cv.iptc.org/newscodes/digitalsourcetype/"

/* Appends text with XML's five entities, and line ends and tabs as character references. */
void tt_xml_escape(tt_text *out, const char *text);

/* Finds a simple property in a packet: an element <p:name>text</p:name>, <p:name rdf:resource="text"/> or an attribute
 * p:name="text", whatever prefix stands for the namespace. Appends its unescaped text to out. Returns false where there
 * is none, or where the XML up to there is broken. */
bool tt_xmp_find(const char *packet, const char *name_space, const char *name, tt_text *out);

#endif
