import type { Selection } from '../select/index.js'

/** What a selection was made by, in a few words: its provenance, as far as it is not the method's own default. */
export function methodName({ plan, trace }: Selection): string {
  const { reuse, dedup } = plan.provenance ?? {}
  const { method } = trace
  const parts = [method]
  if (method === 'paper' && reuse === 'none') parts.push('skip only')
  if (method === 'paper' && reuse === 'ascending') parts.push('ascending')
  if (method === 'paper' && dedup === true) parts.push('sets')
  if (['finercut', 'shortgpt', 'laco'].includes(method) && reuse !== 'none') parts.push('re-use')
  if (trace.metric === 'cosine') parts.push('cosine')
  return parts.join(', ')
}
