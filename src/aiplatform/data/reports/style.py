"""CSS for the page, for light and dark screens and for print."""

STYLE = """
:root{--ink:#1c2330;--quiet:#667085;--paper:#f5f6f8;--card:#fff;--line:#e4e7ec;--accent:#3b5bdb;
--bad:#c92a2a;--bad-soft:#fff0f0;--care:#b25e09;--care-soft:#fff6e5;--good:#237b4b;
--good-soft:#eaf7ef;--info:#3b5bdb;--info-soft:#eef2ff}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ef;--quiet:#98a2b3;--paper:#12151b;
--card:#1b2029;--line:#2c3340;--accent:#8ea4ff;--bad:#ff8787;--bad-soft:#3a1d20;--care:#ffc078;
--care-soft:#37290f;--good:#69db9c;--good-soft:#14301f;--info:#8ea4ff;--info-soft:#1c2546}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,
"Segoe UI",Roboto,"Noto Sans","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
main{max-width:960px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:30px;line-height:1.2;margin:2px 0 6px;letter-spacing:-.01em}
h2{font-size:17px;margin:0 0 12px}
h3{font-size:15px;margin:0;font-weight:600}
p{margin:6px 0}
.quiet{color:var(--quiet);font-weight:400;font-size:13px}
header{display:flex;gap:28px;align-items:flex-start;background:var(--card);border:1px solid
var(--line);border-left:8px solid var(--tone);border-radius:14px;padding:28px;margin-bottom:28px}
header.yes{--tone:var(--good)}header.care{--tone:var(--care)}header.no{--tone:var(--bad)}
header h1{color:var(--tone)}
.label{font-weight:600;margin:0}
.score{flex:none;width:132px;height:132px;border-radius:50%;background:conic-gradient(var(--tone)
calc(var(--part)*1%),var(--line) 0);display:grid;place-items:center}
.score>div{width:104px;height:104px;border-radius:50%;background:var(--card);display:grid;
place-content:center;text-align:center}
.score b{font-size:38px;line-height:1}
.score span{font-size:12px;color:var(--quiet)}
.said ul{margin:8px 0 12px;padding-left:20px}
.said li{margin:2px 0}
.pills{display:flex;gap:8px;flex-wrap:wrap;margin:0}
.pill{border-radius:99px;padding:3px 12px;font-size:13px}
.pill.error{background:var(--bad-soft);color:var(--bad)}
.pill.warning{background:var(--care-soft);color:var(--care)}
.pill.info{background:var(--info-soft);color:var(--info)}
section{margin:0 0 28px}
article{--tone:var(--info);background:var(--card);border:1px solid var(--line);border-radius:12px;
padding:16px 18px;margin-bottom:12px;break-inside:avoid}
article.error{--tone:var(--bad)}article.warning{--tone:var(--care)}
.line{display:flex;justify-content:space-between;gap:16px;align-items:baseline}
.amount{flex:none;font-variant-numeric:tabular-nums;color:var(--tone);font-weight:600;
font-size:14px}
.bar{height:6px;border-radius:3px;background:var(--line);overflow:hidden;margin:8px 0}
.bar i{display:block;height:100%;background:var(--tone,var(--accent));border-radius:3px}
code{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--paper);
border:1px solid var(--line);border-radius:5px;padding:1px 6px;margin-right:4px}
details{margin-top:8px}
summary{cursor:pointer;color:var(--quiet);font-size:13px}
ol{list-style:none;margin:6px 0 0;padding:0}
ol li{display:flex;gap:12px;padding:5px 0;border-top:1px solid var(--line);font-size:13.5px}
ol li span:last-child{overflow-wrap:anywhere;min-width:0}
.row{flex:none;min-width:64px;text-align:right;color:var(--quiet);
font-variant-numeric:tabular-nums}
table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);
border-radius:12px;border-spacing:0;overflow:hidden}
th{text-align:left;font-size:12px;color:var(--quiet);font-weight:600}
th,td{padding:9px 14px;border-top:1px solid var(--line);vertical-align:top}
tr:first-child>*{border-top:0}
.n{font-variant-numeric:tabular-nums;white-space:nowrap}
.big{font-size:20px;margin:0 0 12px}
.tag{display:inline-block;border-radius:6px;padding:1px 8px;font-size:12.5px;white-space:nowrap;
background:var(--paper);color:var(--quiet)}
.tag.bad{background:var(--bad-soft);color:var(--bad)}
.tag.good{background:var(--good-soft);color:var(--good)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:0 24px}
.facts svg{width:100%;height:110px;background:var(--card);border:1px solid var(--line);
border-radius:10px;padding:8px}
.facts rect{fill:var(--accent)}
.ends{display:flex;justify-content:space-between;font-size:12px;color:var(--quiet);margin:2px 4px}
.bars td{padding:5px 12px}.bars .wide{width:60%}.bars .bar{margin:8px 0 0}
footer{border-top:1px solid var(--line);padding-top:14px}
@media (max-width:640px){header{flex-direction:column}.line{flex-direction:column;gap:4px}}
@media print{body{background:#fff}main{padding:0;max-width:none}details>*{display:block}}
""".strip().replace("\n", "")
