/** The page's look: a card for each question, two columns on a desktop and one on a phone, light and dark. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f5f1; --card: #ffffff; --ink: #1d2327; --muted: #68717a; --line: #e4e2db;
  --attention: #0d8a8f; --ffn: #4059ad; --reuse: #d98208; --ours: #c2255c; --good: #2b8a3e;
  --on-colour: #ffffff; --m1: #c2255c; --m2: #4059ad; --m3: #0d8a8f; --m4: #d98208; --m5: #7048b6; --m6: #5f6b3a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1d2126; --ink: #e8eaec; --muted: #98a2ab; --line: #30363d;
    --attention: #35b8b2; --ffn: #8095ec; --reuse: #f2ae43; --ours: #f2729c; --good: #51cf66;
    --on-colour: #14171a; --m1: #f2729c; --m2: #8095ec; --m3: #35b8b2; --m4: #f2ae43; --m5: #b497f0; --m6: #b6c47a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif;
  -webkit-text-size-adjust: 100%; font-variant-numeric: tabular-nums;
}
main { max-width: 1140px; margin: 0 auto; padding: 40px 24px 64px; }
header p { margin: 6px 0 0; color: var(--muted); overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 30px; line-height: 1.2; letter-spacing: -0.02em; }
h2 { margin: 0 0 4px; font-size: 17px; letter-spacing: -0.01em; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 24px; margin-top: 20px; min-width: 0; }
section > p { margin: 0 0 14px; color: var(--muted); font-size: 14px; max-width: 72ch; }
.columns { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 20px; }
.columns > section:last-child:nth-child(odd) { grid-column: 1 / -1; }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 270px), 1fr)); gap: 20px 28px; }
.maps h3 { font-size: 14px; font-weight: 600; margin: 0 0 6px; }
.maps svg { width: 100%; max-width: 420px; }
.plot { overflow: visible; height: auto; max-width: 100%; }
.narrow { display: none; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px; background: var(--line); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; margin: 24px 0 0; }
.figures div { background: var(--card); padding: 14px 18px; }
.figures dt { color: var(--muted); font-size: 13px; }
.figures dd { margin: 2px 0 0; font-size: 23px; font-weight: 600; letter-spacing: -0.02em; line-height: 1.25; }
.figures small { display: block; color: var(--muted); font-size: 12.5px; font-weight: 400; letter-spacing: 0; line-height: 1.4; margin-top: 2px; }
.warning { border: 1px solid var(--reuse); border-left-width: 5px; border-radius: 8px; padding: 10px 16px; margin: 20px 0 0; background: color-mix(in srgb, var(--reuse) 10%, var(--card)); }
code, pre { font: 13px/1.55 ui-monospace, 'SF Mono', Menlo, Consolas, monospace; }
pre { margin: 10px 0 0; padding: 12px 14px; border-radius: 8px; background: var(--page); white-space: pre-wrap; overflow-wrap: anywhere; }
.strip { display: flex; flex-wrap: wrap; gap: 10px 3px; margin: 12px 0 14px; padding: 0; list-style: none; }
.strip li { width: 40px; display: grid; gap: 3px; }
.strip b { color: var(--muted); font-size: 11px; font-weight: 400; text-align: center; line-height: 1; }
.cell { height: 36px; border-radius: 5px; font-size: 13px; font-weight: 600; line-height: 1.05; display: flex; flex-direction: column; align-items: center; justify-content: center; color: var(--on-colour); }
.cell small { font-size: 10px; font-weight: 500; }
.attention { background: var(--attention); } .ffn { background: var(--ffn); } .reuse { background: var(--reuse); }
.skipped { border: 1.5px dashed var(--muted); color: var(--muted); font-weight: 400; opacity: 0.75; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--muted); margin: 10px 0 0; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; gap: 6px; }
.legend i { width: 13px; height: 13px; border-radius: 3px; flex: none; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: right; color: var(--muted); font-weight: 400; font-size: 13px; }
td { text-align: right; } th, td { padding: 6px 0 6px 10px; border-bottom: 1px solid var(--line); }
tr > :first-child { text-align: left; padding-left: 0; } tr:last-child td { border-bottom: 0; } tr.chosen td { font-weight: 600; }
.bar { height: 12px; border-radius: 4px; background: var(--line); margin: 4px 0 12px; }
.bar i { display: block; height: 100%; min-width: 2px; border-radius: 4px; background: var(--ffn); }
.bar i.naive { background: var(--muted); }
.row { display: flex; justify-content: space-between; gap: 12px; font-size: 14px; }
.ramp { height: 10px; border-radius: 4px; margin-top: 14px; max-width: 320px; } .ramp + .row { max-width: 320px; color: var(--muted); font-size: 13px; }
details { margin-top: 20px; } summary { cursor: pointer; color: var(--muted); font-size: 14px; }
@media (max-width: 760px) {
  main { padding: 24px 12px 40px; } section { padding: 16px; margin-top: 12px; border-radius: 10px; } h1 { font-size: 25px; }
  .columns { grid-template-columns: minmax(0, 1fr); } .wide { display: none; } .narrow { display: block; }
  .figures { grid-template-columns: 1fr 1fr; margin-top: 18px; } .figures div { padding: 12px 14px; } .figures dd { font-size: 20px; }
  .strip { display: grid; grid-template-columns: repeat(8, minmax(0, 1fr)); gap: 12px 3px; } .strip li { width: auto; } .optional { display: none; }
}
@media print { body { background: none; } section { break-inside: avoid; } }
`
