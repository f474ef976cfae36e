import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { calibrationIdentity } from '../../src/select/measure/identity.js'
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

it('tells calibration sets apart by their holes and positions', () => {
  const identity = (indices: number[], positions?: number[]): string => {
    const batch = {
      starts: Int32Array.of(0, 2),
      indices: Int32Array.from(indices),
      positions: positions && Int32Array.from(positions),
      visible: Uint8Array.of(1, 1),
      ids: Int32Array.of(5, 1),
    }
    return calibrationIdentity([{ batch, tokens: 2, isNull: false }], undefined)
  }
  const all = [identity([0, 1]), identity([0, 3]), identity([2, 3]), identity([0, 1], [0, 3])]
  expect(new Set(all).size).toBe(all.length)
  expect(identity([0, 1])).toBe(all[0])
})
