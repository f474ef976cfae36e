/** Untrusted values in messages: short, on one line. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (value === null || value === undefined) return value === null ? 'null' : 'nothing'
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return withArticle(value instanceof Object && !isPlain(value) ? className(value) : typeof value)
}

/** An object can come without a constructor, or with one of its own making. */
function className(value: object): string {
  const { constructor } = value as { constructor?: { name?: unknown } }
  const name = constructor?.name
  return typeof name === 'string' && name !== '' ? name : typeof value
}

const withArticle = (name: string): string => `${/^[aeiou]/i.test(name) ? 'an' : 'a'} ${name}`

export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** `table[3].source`, from the path of a schema's issue; undefined for the whole value. */
export const fieldName = (path: readonly PropertyKey[]): string | undefined =>
  path.length === 0
    ? undefined
    : path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i ? '.' : ''}${String(key)}`)).join('')

/** What a schema's issue is about. */
export const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((part, key) => (part as Record<PropertyKey, unknown> | undefined)?.[key], value)

/** A word of a command, as a shell reads it. */
export const shellWord = (text: string): string =>
  /^[\w%+,./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
