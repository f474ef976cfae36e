import fc from 'fast-check'

/** A change of a JSON text. `at` and `other` choose a place in it, modulo how many there are. */
export type JsonEdit =
  | { readonly kind: 'value'; readonly at: number; readonly raw: string }
  | { readonly kind: 'number'; readonly at: number; readonly by: keyof typeof ARITHMETIC }
  | { readonly kind: 'again'; readonly at: number; readonly raw: string }
  | { readonly kind: 'add'; readonly at: number; readonly key: string; readonly raw: string }
  | { readonly kind: 'rename'; readonly at: number; readonly key: string }
  | { readonly kind: 'remove'; readonly at: number }
  | { readonly kind: 'exchange'; readonly at: number; readonly other: number }

/** Of a number that stands there: what is nearly right gets further than what is wild. */
const ARITHMETIC = {
  up: (n: number) => n + 1,
  down: (n: number) => n - 1,
  double: (n: number) => 2 * n,
  half: (n: number) => n / 2,
  negative: (n: number) => -n,
  large: (n: number) => n + 2 ** 32,
  eightfold: (n: number) => 8 * n,
}

const nested = (depth: number, open: string, close: string): string =>
  `${open.repeat(depth)}1${close.repeat(depth)}`

/** JSON texts, and some that are none, which a reader may take for what they are not. */
const HOSTILE = [
  ...['null', 'true', 'false', '0', '-0', '1', '-1', '1.5', '512', '65536', '1e999', '-1e999', '1e-400'],
  ...['2147483647', '2147483648', '4294967295', '4294967296', '9007199254740991', '9007199254740993'],
  ...[
    '18446744073709551615',
    '18446744073709551616',
    '1e308',
    'NaN',
    'Infinity',
    '01',
    '[]',
    '{}',
    '""',
    '[[]]',
  ],
  ...['{"__proto__":{"x":1}}', '{"constructor":{"prototype":1}}', '{"toString":1}', '{"a":1,"a":2}', '[1,]'],
  ...[
    '"__proto__"',
    '"constructor"',
    '"../../../etc/passwd"',
    '"/dev/zero"',
    '"."',
    '"\\u0000"',
    '"\\ud800"',
  ],
  ...['"F32"', '"bf16"', '"int4"', '"relu"', '"\\u001b[2J"', '"\\u202eabc"', '[0,0]', '[-1]', '[1e999]'],
  ...[nested(60, '[', ']'), nested(5000, '[', ']'), nested(100_000, '[', ']'), nested(5000, '{"a":', '}')],
  ...[`"${'x'.repeat(100_000)}"`, `[${'0,'.repeat(50_000)}0]`, '1'.repeat(5000)],
]

const raw = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...HOSTILE) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value)) },
)
const key = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', '__metadata__', '', 'dtype', 'a'.repeat(5000)),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
const place = fc.nat(0x7fffffff)

export const jsonEdit: fc.Arbitrary<JsonEdit> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('value'), at: place, raw }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('number'),
      at: place,
      by: fc.constantFrom(...(Object.keys(ARITHMETIC) as (keyof typeof ARITHMETIC)[])),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('again'), at: place, raw }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('add'), at: place, key, raw }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rename'), at: place, key }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove'), at: place }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('exchange'), at: place, other: place }) },
)

/** Where a value stands. */
interface Place {
  readonly holder: Record<string, unknown>
  readonly key: string
}

/** A text that is no JSON stays what it is. */
export function editJson(text: string, edits: readonly JsonEdit[]): string {
  const root: Record<string, unknown> = {}
  try {
    root['root'] = JSON.parse(text)
  } catch {
    return text
  }
  const texts: string[] = []
  for (const edit of edits) apply(root, edit, texts)
  const written = JSON.stringify(root['root']) as string | undefined
  // what JSON.stringify cannot write was left to tokens
  const filled = (written ?? '').replaceAll(/"@(\d+)@"/g, (_, i: string) => texts[Number(i)]!)
  return filled
}

function apply(root: Record<string, unknown>, edit: JsonEdit, texts: string[]): void {
  const token = (text: string): string => `@${texts.push(text) - 1}@`
  const all = placesIn(root)
  const { holder, key } = all[edit.at % all.length]!
  switch (edit.kind) {
    case 'value':
      holder[key] = token(edit.raw)
      break
    case 'number': {
      const numbers = all.filter((place) => typeof place.holder[place.key] === 'number')
      const chosen = numbers[edit.at % numbers.length]
      if (chosen) chosen.holder[chosen.key] = ARITHMETIC[edit.by](Number(chosen.holder[chosen.key]))
      break
    }
    case 'again':
      if (!Array.isArray(holder) && holder !== root) holder[token(JSON.stringify(key))] = token(edit.raw)
      break
    case 'add': {
      const target = holder[key]
      if (Array.isArray(target)) target.push(token(edit.raw))
      else if (typeof target === 'object' && target !== null)
        (target as Record<string, unknown>)[token(JSON.stringify(edit.key))] = token(edit.raw)
      break
    }
    case 'rename':
      if (Array.isArray(holder) || holder === root) break
      holder[token(JSON.stringify(edit.key))] = holder[key]
      Reflect.deleteProperty(holder, key)
      break
    case 'remove':
      if (Array.isArray(holder)) holder.splice(Number(key), 1)
      else if (holder !== root) Reflect.deleteProperty(holder, key)
      break
    case 'exchange': {
      const other = all[edit.other % all.length]!
      const [a, b] = [structuredClone(holder[key]), structuredClone(other.holder[other.key])]
      holder[key] = b
      other.holder[other.key] = a
    }
  }
}

/** All values below `holder`, each before what it holds. */
function placesIn(holder: Record<string, unknown>, found: Place[] = []): Place[] {
  for (const [key, value] of Object.entries(holder)) {
    found.push({ holder, key })
    if (typeof value === 'object' && value !== null) placesIn(value as Record<string, unknown>, found)
  }
  return found
}
