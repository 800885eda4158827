// How the page looks. Colours are those of Okabe and Ito for variants, blue (better) against orange (worse)
// for damage: told apart with every common colour blindness, and never the only sign. No '<' and no '&', so
// that the page is well-formed XML too.
#pragma once

#include <string_view>

namespace carat {

inline constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--soft:#57606a;--line:#d5dbe1;--card:#f6f8fa;
--v0:#4d5661;--v1:#0072b2;--v2:#c04d00;--v3:#00805c;--v4:#a3498a;--v5:#8a6d00;--v6:#1f8fc4;--v7:#6b4fbb;
--pass:#00694f;--breach:#b23c00;--open:#5f4b8b;--passbg:#e2f4ee;--breachbg:#fdebe0;--openbg:#eeeaf6;
--w1:#fdebdd;--w2:#fbd3ae;--w3:#f5ab6c;--w4:#bd530a;--w5:#8a3600;--b1:#e3effa;--b2:#bcdaf5;--b3:#86bdec;--b4:#2574b9;--b5:#0b4f8f;
--on:#1b1f24;--onstrong:#fff}
@media (prefers-color-scheme:dark){:root{--bg:#0f1318;--ink:#e8edf2;--soft:#a0a9b3;--line:#39424d;--card:#171d24;
--v0:#b6bfc9;--v1:#5fb3ea;--v2:#f0884a;--v3:#3fc39a;--v4:#dd92c6;--v5:#d9b63c;--v6:#8fd0f2;--v7:#b39cf0;
--pass:#5fd0ab;--breach:#ff9a62;--open:#c0adf0;--passbg:#12302a;--breachbg:#3a2012;--openbg:#27213a;
--w1:#36240f;--w2:#573413;--w3:#834a12;--w4:#d9803a;--w5:#ffb27a;--b1:#14283c;--b2:#1a3f63;--b3:#1f5a92;--b4:#5ba6e6;--b5:#a5d3fa;
--on:#e8edf2;--onstrong:#10151b}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:20px 20px 60px}
h1{font-size:26px;margin:2px 0 10px;line-height:1.2}
h2{font-size:19px;margin:0 0 8px;line-height:1.3}
h3{font-size:15px;margin:18px 0 6px}
h4{font-size:12px;margin:0 0 2px;color:var(--soft);font-weight:600}
p{margin:0 0 8px;overflow-wrap:anywhere}
h1,h2,h3,li,dd,summary,figcaption{overflow-wrap:anywhere}
main>section{margin-top:34px}
.kicker,.soft,small{color:var(--soft)}
small{font-size:12px;display:block;font-weight:400}
th small{display:inline}
.rules th small{display:block}
.kicker{margin:0;font-size:13px}
.headline{font-size:20px;font-weight:650;line-height:1.35;border-left:6px solid var(--open);padding:2px 0 2px 12px;margin:0 0 6px}
.headline.go{border-color:var(--pass)}
.headline.stop{border-color:var(--breach)}
.rest{padding-left:18px}
.variants{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:14px;margin-top:18px}
.variant{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px 16px;min-width:0;break-inside:avoid}
.tag{display:inline-block;min-width:1.5em;text-align:center;border-radius:4px;padding:0 5px;font-weight:700;color:var(--bg);background:var(--c)}
.verdict{color:var(--tone);font-weight:600}
p.verdict{background:var(--tonebg);border-radius:6px;padding:5px 10px}
p.verdict span{font-weight:800}
.pass{--tone:var(--pass);--tonebg:var(--passbg)}
.breach{--tone:var(--breach);--tonebg:var(--breachbg)}
.open{--tone:var(--open);--tonebg:var(--openbg)}
.stale{color:var(--breach);font-weight:600}
.note{color:var(--soft);font-size:13px}
.figures{margin:0 0 8px}
.figures div{display:grid;grid-template-columns:72px 1fr;gap:0 8px}
.figures dt{color:var(--soft)}
.figures dd{margin:0}
.figures small{display:inline}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:14px}
figure{margin:0;min-width:0}
figure.large{grid-column:1/-1;max-width:680px}
figure.small{max-width:420px}
figcaption{font-weight:600;font-size:13px;margin-bottom:2px}
svg{display:block;width:100%;height:auto;font-family:inherit}
svg text{fill:var(--ink)}
svg .tick,svg .axis{fill:var(--soft)}
.grid{stroke:var(--line);stroke-width:1}
.front{fill:none;stroke:var(--soft);stroke-width:1.5;stroke-dasharray:5 4}
.lead{fill:none;stroke:var(--soft);stroke-width:.7}
.bar{fill:none;stroke:var(--c);stroke-width:1.6}
.line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}
.dot{fill:var(--c);stroke:var(--bg);stroke-width:1.5}
svg .name{fill:var(--c);font-weight:650}
.v0{--c:var(--v0)}.v1{--c:var(--v1)}.v2{--c:var(--v2)}.v3{--c:var(--v3)}.v4{--c:var(--v4)}.v5{--c:var(--v5)}.v6{--c:var(--v6)}.v7{--c:var(--v7)}
.scroll{overflow-x:auto;margin:0 0 10px}
table{border-collapse:collapse;font-size:13.5px;line-height:1.3}
th,td{text-align:left;vertical-align:top;padding:5px 9px;border-bottom:1px solid var(--line)}
thead th{vertical-align:bottom;font-size:12.5px;min-width:62px}
.slices thead th,.facts thead th{overflow-wrap:anywhere}
tbody th{font-weight:400;min-width:112px;max-width:320px;overflow-wrap:anywhere}
.number{font-variant-numeric:tabular-nums}
.slices tbody th{position:sticky;left:0;background:var(--bg)}
.none{color:var(--soft);font-size:12px}
.heat{font-variant-numeric:tabular-nums;--s:transparent;box-shadow:inset 4px 0 0 var(--s);border-right:2px solid var(--bg)}
.heat.sure{background:var(--s);font-weight:700;color:var(--t,var(--on))}
.heat.sure small{color:inherit}
.w1{--s:var(--w1)}.w2{--s:var(--w2)}.w3{--s:var(--w3)}.w4{--s:var(--w4)}.w5{--s:var(--w5)}
.b1{--s:var(--b1)}.b2{--s:var(--b2)}.b3{--s:var(--b3)}.b4{--s:var(--b4)}.b5{--s:var(--b5)}
.w4,.w5,.b4,.b5{--t:var(--onstrong)}
.legend{font-size:13px;line-height:2}
.legend .heat{padding:2px 8px;border:1px solid var(--line)}
.meter{display:block;height:4px;margin-top:3px;background:var(--c)}
.rules td:last-child{min-width:220px;max-width:420px;overflow-wrap:anywhere}
.rules .verdict{white-space:nowrap}
.facts .value{font-size:12px;max-width:230px;min-width:110px;overflow-wrap:anywhere}
.facts .differs th{font-weight:700;box-shadow:inset 4px 0 0 var(--open)}
code{font-size:12px;overflow-wrap:anywhere}
details{margin:6px 0}
summary{cursor:pointer;font-weight:600}
.flip{border:1px solid var(--line);border-radius:8px;padding:10px 14px;margin:0 0 12px;break-inside:avoid}
.flip h3{margin:0 0 6px}
.text{margin-bottom:8px;min-width:0}
.model{white-space:pre-wrap;overflow-wrap:anywhere;font-size:13.5px;max-height:18em;overflow:auto;unicode-bidi:isolate}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:12px}
.pair .text{background:var(--card);border-radius:6px;padding:8px 10px;margin:0}
@media (max-width:560px){main{padding:14px 10px 40px}th,td{padding:5px 6px}table{font-size:13px}}
@media print{main{max-width:none;padding:0}.model{max-height:none}.scroll{overflow:visible}table{font-size:10px}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}tr{break-inside:avoid}}
)css";

}  // namespace carat
