/* compare-style.c - see compare-style.h. The series' colours are told apart by people with colour blindness (Okabe and
 * Ito's palette). */
#include "cli/compare-style.h"

static const char style[] =
    ":root{color-scheme:light dark;--back:#fff;--front:#1d2126;--dim:#5c6570;--line:#d5dae0;--band:#f5f7f9;"
    "--s0:#7a828c;--s1:#0072b2;--s2:#d55e00;--s3:#009e73;--s4:#c46a9b;--s5:#b98500;--s6:#3a9bd6;--s7:#8a5a2b}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#15181c;--front:#e6e9ec;--dim:#9aa4ae;--line:#363c44;"
    "--band:#1d2127;--s0:#98a1ab;--s1:#4ba6e0;--s2:#ff8a3d;--s3:#2fc596;--s4:#e08fbb;--s5:#e6b422;--s6:#8cc9f0;"
    "--s7:#c79a6b}}\n"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:28px 24px 60px;max-width:1220px;background:var(--back);color:var(--front);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
    "h1{font-size:25px;line-height:1.25;margin:0 0 4px}h2{font-size:18px;margin:38px 0 8px}"
    "p{margin:6px 0 10px;max-width:80ch}.dim{color:var(--dim)}small{color:var(--dim)}\n"
    ".scroll{overflow-x:auto}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px}"
    "th,td{padding:5px 11px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}"
    "th{font-weight:600;vertical-align:bottom}th small,td small{font-weight:400}"
    "th:first-child,td:first-child{text-align:left}td.words{text-align:left;white-space:normal;min-width:12em}"
    "tr.reference td{background:var(--band)}\n"
    ".key{display:inline-block;width:10px;height:10px;border-radius:5px;margin-right:7px}"
    ".k0{background:var(--s0)}.k1{background:var(--s1)}.k2{background:var(--s2)}.k3{background:var(--s3)}"
    ".k4{background:var(--s4)}.k5{background:var(--s5)}.k6{background:var(--s6)}.k7{background:var(--s7)}\n"
    ".plots{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:18px 26px}"
    "figure{margin:0;min-width:0}figcaption{font-size:13.5px;font-weight:600;margin-bottom:4px}"
    ".wide{grid-column:1/-1}@media(max-width:820px){.plots{grid-template-columns:1fr}}\n"
    "svg{width:100%;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:var(--front)}"
    "svg .note{fill:var(--dim);font-size:11.5px}svg .label{fill:var(--dim);font-size:12.5px}svg .name{font-size:12px}"
    "svg path{fill:none}svg .grid{stroke:var(--line);stroke-width:.7}svg .axis{stroke:var(--dim)}"
    "svg .rule{stroke:var(--s0);stroke-dasharray:5 4}svg .line{stroke-width:1.8;stroke-linejoin:round}\n"
    "svg circle.s0{fill:var(--s0)}svg circle.s1{fill:var(--s1)}svg circle.s2{fill:var(--s2)}"
    "svg circle.s3{fill:var(--s3)}svg circle.s4{fill:var(--s4)}svg circle.s5{fill:var(--s5)}"
    "svg circle.s6{fill:var(--s6)}svg circle.s7{fill:var(--s7)}"
    "svg path.s0{stroke:var(--s0)}svg path.s1{stroke:var(--s1)}svg path.s2{stroke:var(--s2)}"
    "svg path.s3{stroke:var(--s3)}svg path.s4{stroke:var(--s4)}svg path.s5{stroke:var(--s5)}"
    "svg path.s6{stroke:var(--s6)}svg path.s7{stroke:var(--s7)}\n"
    ".prompt{margin:20px 0 8px;font-weight:600}"
    ".row{display:grid;grid-template-columns:repeat(auto-fill,minmax(210px,1fr));gap:14px}"
    ".row img{width:100%;height:auto;display:block;border-radius:3px;background:var(--band)}"
    ".row figcaption{font-weight:400;font-size:13px;margin:5px 0 6px;overflow-wrap:anywhere}\n"
    "td.heat{background:color-mix(in srgb,var(--s2) var(--h),transparent)}"
    "details summary{cursor:pointer;font-weight:600;margin:10px 0}dt{font-weight:600;margin-top:8px}"
    "dd{margin:0 0 4px;max-width:85ch}\n"
    "@media print{:root{--back:#fff;--front:#000;--dim:#444;--line:#bbb;--band:#f2f2f2}body{max-width:none;padding:0;"
    "font-size:12px}h2{break-after:avoid}figure,tr,.together{break-inside:avoid}"
    ".row{grid-template-columns:repeat(4,1fr)}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}\n";

const char *cli_compare_style(void)
{
    return style;
}
