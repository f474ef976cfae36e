import { performance } from 'node:perf_hooks'

/**
 * The share of the time in which this thread's event loop was busy while `work` ran: next to nothing where others do the
 * work, 1 where it is done here. Unlike a delay in milliseconds it says the same on a machine that is busy with others.
 */
export async function busyShare(work: () => Promise<unknown>): Promise<number> {
  const before = performance.eventLoopUtilization()
  await work()
  return performance.eventLoopUtilization(before).utilization
}
