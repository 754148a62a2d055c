// Draws the README's pictures, in light and dark; testdata/pictures.sh calls it:
//   node pictures.mjs pages URL FOLDER      logs in at the test issuer, and keeps its page and the last one
//   node pictures.mjs terminal FILE FOLDER  draws what tmux has captured with its colours
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

let style = { bold: false, colour: 'text' }; // of what comes next in a captured terminal

const [what, from, folder] = process.argv.slice(2);
if (what === 'pages') {
  await pages(from);
} else {
  terminal(readFileSync(from, 'utf8'));
}

async function pages(url) {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const context = await browser.newContext({ viewport: { width: 560, height: 480 }, deviceScaleFactor: 2 });
    const tab = await context.newPage();
    await tab.goto(url);
    await keep(tab, 'login');
    await tab.locator('button[value=yes]').click();
    await tab.locator('main[role=status].good').waitFor();
    await keep(tab, 'logged-in');
  } finally {
    await browser.close();
  }
}

async function keep(tab, name) {
  for (const colorScheme of ['light', 'dark']) {
    await tab.emulateMedia({ colorScheme });
    await tab.screenshot({ path: join(folder, `${name}-${colorScheme}.png`) });
  }
}

function terminal(captured) {
  const themes = {
    light: { back: '#ffffff', bar: '#eef1f5', line: '#d5dbe3', text: '#1c2430', 31: '#b3372f', 32: '#1a7f4b', 33: '#8a5a00', 36: '#0b6e8a' },
    dark: { back: '#161b22', bar: '#1f2630', line: '#333d4a', text: '#e3e8ee', 31: '#f2827a', 32: '#4cc38a', 33: '#e0b45c', 36: '#63c5e0' },
  };
  const lines = captured.replace(/\s+$/, '').split('\n').map(runs);
  while (lines[0].length === 0) lines.shift();
  lines.at(-1).some((run) => run.text.trim() !== '$') || lines.pop(); // the last prompt
  while (lines.at(-1).length === 0) lines.pop();
  for (const [name, theme] of Object.entries(themes)) writeFileSync(join(folder, `session-${name}.svg`), draw(lines, theme));
}

// runs cuts a line where its colour changes.
function runs(line) {
  const all = [];
  let column = 0;
  for (const part of line.split(/(\x1b\[[0-9;]*m)/)) {
    const codes = /^\x1b\[([0-9;]*)m$/.exec(part);
    if (!codes) {
      for (const word of part.matchAll(/\S+( \S+)*/g)) { // a browser would make one blank of several
        all.push({ column: column + [...part.slice(0, word.index)].length, text: word[0], ...style });
      }
      column += [...part].length;
      continue;
    }
    for (const code of codes[1].split(';').map(Number)) {
      if (code === 0) style = { bold: false, colour: 'text' };
      else if (code === 1) style = { ...style, bold: true };
      else if (code === 39) style = { ...style, colour: 'text' };
      else if (code >= 30 && code < 38) style = { ...style, colour: code };
    }
  }
  return all;
}

// timing plays the session once: each command is typed after its prompt, and the lines
// below appear when it has been. A viewer without animations shows everything.
function timing(lines) {
  let now = 0;
  return lines.map((line) => {
    const [prompt, command] = line;
    if (prompt?.text !== '$' || !command) return { appears: now += 0.05 };
    const [appears, typed] = [now + 0.5, [...command.text].length * 0.02];
    now = appears + 0.3 + typed + 0.3;
    return { appears, typed };
  });
}

// Each run has the length that it would have in a terminal, whatever font is there.
function draw(lines, theme) {
  const [size, step, row, margin, bar] = [14, 8.43, 21, 24, 40];
  const columns = Math.max(...lines.flat().map((run) => run.column + [...run.text].length));
  const [width, height] = [Math.ceil(columns * step) + 2 * margin, bar + lines.length * row + 2 * margin - 6];
  const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  const times = timing(lines);
  const text = lines.flatMap((line, number) => line.map((run, i) => {
    const { appears, typed } = times[number];
    const animation = typed && i > 0 ? `t ${typed.toFixed(2)}s steps(${[...run.text].length}) ${(appears + 0.3).toFixed(2)}s both` : `a 1ms ${appears.toFixed(2)}s both`;
    const [x, y] = [margin + run.column * step, bar + margin + number * row + 10];
    const colour = theme[run.colour] ?? theme.text;
    return `<text style="animation:${animation}" x="${x.toFixed(1)}" y="${y}" fill="${colour}"${run.bold ? ' font-weight="600"' : ''} `
      + `textLength="${([...run.text].length * step).toFixed(1)}">${escape(run.text)}</text>`;
  }));
  const dots = ['#ec6a5e', '#f4bf4f', '#61c554'].map((colour, i) => `<circle cx="${margin + i * 20}" cy="20" r="6" fill="${colour}"/>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" `
    + `font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${size}" xml:space="preserve">\n`
    + `<title>A session with fob in a terminal</title>\n`
    + '<style>@keyframes a{from{opacity:0}}@keyframes t{from{clip-path:inset(0 100% 0 0)}}@media(prefers-reduced-motion){text{animation:none!important}}</style>\n'
    + `<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="12" fill="${theme.back}" stroke="${theme.line}"/>\n`
    + `<path d="M.5 ${bar}V12.5a12 12 0 0 1 12-12H${width - 12.5}a12 12 0 0 1 12 12V${bar}Z" fill="${theme.bar}" stroke="${theme.line}"/>\n`
    + dots.join('\n') + '\n' + text.join('\n') + '\n</svg>\n';
}
