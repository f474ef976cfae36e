import { readFile, stat } from 'node:fs/promises'
import { writeFileAtomically } from '../io/atomic.js'
import { ioReason } from '../io/files.js'
import { PlanError } from '../errors.js'
import type { Architecture } from '../model/architecture.js'
import { checkIsPlan, Plan } from './plan.js'
import { checkPath } from '../io/arguments.js'
import { isPreset, listPresets, resolvePreset } from './presets.js'

/** A plan with long provenance has some kilobytes, its compensation some hundred and at most 6 MB. A larger file is no plan. */
const MAX_BYTES = 1 << 23

/** @throws PlanError where the file is missing, too large or not a plan */
export async function readPlan(path: string): Promise<Plan> {
  checkPath(path)
  const bytes = await readChecked(path)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new PlanError(
      { file: path, found: 'bytes that are not UTF-8', expected: 'a plan in JSON' },
      { cause },
    )
  }
  return Plan.parse(text, path)
}

async function readChecked(path: string): Promise<Buffer> {
  try {
    const { size, ...is } = await describe(path)
    if (!is.file) throw new PlanError({ file: path, found: 'no regular file', expected: 'a plan in JSON' })
    if (size > MAX_BYTES) {
      throw new PlanError({ file: path, found: `${size} bytes`, expected: `at most ${MAX_BYTES} for a plan` })
    }
    return await readFile(path)
  } catch (cause) {
    if (cause instanceof PlanError) throw cause
    throw new PlanError({ file: path, message: `cannot be read: ${ioReason(cause)}` }, { cause })
  }
}

const describe = async (path: string): Promise<{ size: number; file: boolean }> => {
  const found = await stat(path)
  return { size: found.size, file: found.isFile() }
}

/** Writes the plan whole or not at all. @throws OutputError */
export async function writePlan(path: string, plan: Plan): Promise<void> {
  checkPath(path)
  checkIsPlan(plan)
  await writeFileAtomically(path, (handle) => handle.writeFile(plan.stringify()))
}

/**
 * The plan a user names, checked against the model: the file of that name if it exists, else the preset.
 * @throws PlanError where it is neither (the message lists the presets), malformed, or made for another model
 */
export async function loadPlan(fileOrPreset: string, architecture: Architecture): Promise<Plan> {
  const found = await describe(fileOrPreset).catch(() => undefined)
  if (found?.file) {
    const plan = await readPlan(fileOrPreset)
    plan.validate(architecture, fileOrPreset)
    return plan
  }
  if (isPreset(fileOrPreset)) return resolvePreset(fileOrPreset, architecture)
  throw new PlanError({
    file: fileOrPreset,
    found: 'neither a file nor a preset',
    expected: `a plan file or one of ${listPresets()
      .map((preset) => preset.name)
      .join(', ')}`,
  })
}
