import type { Checkpoint } from '../checkpoint/types.js'
import type { Precision } from '../model/precision.js'
import type { Plan } from '../plan/plan.js'
import type { Reports } from '../io/reports.js'
import { native, runJob, type DeviceName, type NativeEncoder } from './addon.js'
import { pickDevice, requireDevice, type Device } from './device.js'
import { LoadedPlan } from './loaded-plan.js'
import { ownPrecision, resolved } from './precision.js'
import { probeCuda } from './probe.js'
import { nativePlan, nativeSpec } from './spec.js'

export interface EngineOptions {
  readonly device?: 'auto' | DeviceName | undefined
  readonly precision?: Precision | undefined
  readonly threads?: number | undefined
  readonly mapped?: boolean | undefined
  /** See SpecOptions. */
  readonly projected?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * A checkpoint open on a device. Plans are loaded into it and run by `native`. It resolves "the encoder's own precision": every
 * call below it names one.
 */
export class Engine {
  private constructor(
    readonly native: NativeEncoder,
    readonly checkpoint: Checkpoint,
    readonly device: Device,
    /** Why it runs there, where `auto` chose. */
    readonly deviceReason: string | undefined,
    /** Precision of the sub-blocks for which a plan names none. */
    readonly precision: Precision,
  ) {}

  /** Opens on the device asked for and on no other; `plan` will run on it. @throws ERR_DEVICE; InputError */
  static async open(checkpoint: Checkpoint, options: EngineOptions, plan?: Plan): Promise<Engine> {
    const { threads = 0, signal } = options
    const wanted = { precision: options.precision, checkpoint, plan }
    const { device, reason } = await pickDevice(options.device, wanted)
    const precision = ownPrecision(checkpoint, options.precision, device)
    if (device.kind === 'cuda') await probeCuda(device.name)
    const encoder = await runJob([signal], (cancel) =>
      native().open(nativeSpec(checkpoint, options), { device: device.name, threads }, cancel),
    )
    return new Engine(encoder, checkpoint, device, reason, precision)
  }

  /** The plan with every precision named. */
  resolve(plan: Plan): Plan {
    return resolved(plan, this.checkpoint, this.precision)
  }

  /**
   * Loads what the first `depth` blocks of the plan need and the engine does not hold yet.
   * @throws PlanError for weights the device or the checkpoint does not have; the reason of a signal; what a report threw
   */
  async loadPlan(
    plan: Plan,
    signals: readonly (AbortSignal | undefined)[],
    reports?: Reports<[{ doneBytes: number; totalBytes: number }]>,
    depth = plan.table.length / 2,
  ): Promise<LoadedPlan> {
    requireDevice(this.device, { plan })
    const needed = this.resolve(plan.upTo(depth))
    const loaded = await runJob(signals, (cancel) =>
      this.native.loadPlan(nativePlan(needed), cancel, (doneBytes, totalBytes) =>
        reports?.report({ doneBytes, totalBytes }),
      ),
    )
    try {
      await reports?.settled()
    } catch (error) {
      loaded.dispose()
      throw error
    }
    return new LoadedPlan(plan, loaded)
  }
}
