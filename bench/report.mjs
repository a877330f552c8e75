// Results as Markdown tables: for the terminal, and for RESULTS.md as they are.
export const digits = (value) => (value >= 1000 ? value.toFixed(0) : value.toPrecision(3));
const times = (value) => `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)}x`;

/** Rows of cells as a Markdown table; the first is its head. */
export function aligned(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (cells) =>
    `| ${cells.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2))).join('|')}|`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join('\n');
}

/** The records of one group. */
export function groupTable(records) {
  const [{ suite, case: name }] = records;
  const measured = records.find(({ status }) => status === 'measured');
  const { unit = '', limit, limitValue } = measured ?? {};
  const hasRatio = records.some(({ timesAsFast }) => timesAsFast !== undefined);
  const header = [`${suite}: ${name}`, unit];
  if (limit) header.push(`of ${limit} (${digits(limitValue)} ${unit})`);
  if (hasRatio) header.push('first row / this');
  const rows = records.map((record) => {
    const cells = [
      record.how ? `${record.by} ${record.how}` : record.by,
      record.status === 'measured' ? digits(record.value) : record.status,
    ];
    if (limit) cells.push(record.ofLimit === undefined ? '' : record.ofLimit.toFixed(3));
    if (hasRatio) cells.push(record.timesAsFast === undefined ? '' : times(record.timesAsFast));
    return cells;
  });
  return aligned([header, ...rows]);
}

/** What ran where: the head of every report. */
export function heading({ machine, command }) {
  const { date, processor, processors, memoryGiB, platform, node, covn, device, threads, peers } = machine;
  return [
    `    ${command}`,
    '',
    `covn ${covn} (${device}, ${threads} ${threads === 1 ? 'thread' : 'threads'}), Node ${node}, ${platform}, ${date}.`,
    `${processor}, ${processors} ${processors === 1 ? 'processor' : 'processors'}, ${memoryGiB} GiB.`,
    `Peers: ${peers.length > 0 ? peers.join(', ') : 'plain JavaScript only'}.`,
  ].join('\n');
}
