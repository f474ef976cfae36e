import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { exportPacked, openCheckpoint, Plan } from '../../src/index.js'
import { modelIdentity } from '../../src/checkpoint/identity.js'
import { temporaryFolder } from '../checkpoint/helpers.js'
import { MODEL } from './harness.js'

it('tells models apart by their packed weights too', async () => {
  const out = join(await temporaryFolder(), 'int8')
  await exportPacked(await openCheckpoint(MODEL), Plan.dense(6), out, { precision: 'int8' })
  const packed = await openCheckpoint(out)
  const before = await modelIdentity(packed)
  expect(await modelIdentity(await openCheckpoint(out))).toBe(before)
  expect(before).not.toBe(await modelIdentity(await openCheckpoint(MODEL)))

  const { file, offset } = packed.packed.get(4)!.tensors.in
  const handle = await open(file, 'r+')
  await handle.write(Uint8Array.of(77), 0, 1, offset + 8)
  await handle.close()
  expect(await modelIdentity(await openCheckpoint(out))).not.toBe(before)
})
