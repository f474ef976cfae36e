import { z } from 'zod'
import { checkArgument, instance, is, number, text, whole } from '../io/arguments.js'
import { checkArchitecture } from '../model/check-architecture.js'
import { isPlainEncoding, PLAIN_ENCODINGS } from '../model/encoding.js'
import type { Checkpoint } from './types.js'

const isEncoding = (value: unknown): boolean => typeof value === 'string' && isPlainEncoding(value)
const tensor = z.looseObject(
  {
    name: text,
    file: text,
    offset: whole(0),
    bytes: whole(0),
    encoding: is(isEncoding, `one of ${PLAIN_ENCODINGS.join(', ')}`),
    scale: number.optional(),
    shape: z.array(whole(0), { error: 'a shape' }),
  },
  { error: 'a tensor' },
)
const tensors = z.record(z.string(), tensor, { error: 'tensors by role' })

const schema = z.looseObject(
  {
    path: text,
    packed: instance(Map, 'a Map'),
    fixed: tensors,
    subBlocks: z.array(tensors, { error: 'an array' }),
  },
  { error: 'a checkpoint, as openCheckpoint gives it' },
)

/** @throws InputError where it does not have a Checkpoint's form */
export function checkIsCheckpoint(value: unknown): asserts value is Checkpoint {
  checkArgument<unknown>(schema, value, 'checkpoint')
  checkArchitecture((value as Checkpoint).architecture)
}
