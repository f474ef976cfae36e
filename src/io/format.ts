/** Bytes as a person reads them: 9.52 GB, 831 kB. Decimal, like disks and the paper's tables. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`
}

export const formatCount = (n: number): string => n.toLocaleString('en-US')
export const formatPercent = (share: number): string => `${(100 * share).toFixed(1)} %`
