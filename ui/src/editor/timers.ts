// Timers that end together, with what they belong to.
type Timer = ReturnType<typeof setTimeout>

export class Timers {
  private readonly running = new Set<Timer>()
  private readonly repeating: ReturnType<typeof setInterval>[] = []

  after(waitMs: number, work: () => void): Timer {
    const timer = setTimeout(() => {
      this.running.delete(timer)
      work()
    }, waitMs)
    this.running.add(timer)
    return timer
  }

  every(waitMs: number, work: () => void): void {
    this.repeating.push(setInterval(work, waitMs))
  }

  cancel(timer: Timer | undefined): void {
    if (timer === undefined) return
    clearTimeout(timer)
    this.running.delete(timer)
  }

  end(): void {
    this.running.forEach(clearTimeout)
    this.running.clear()
    this.repeating.forEach(clearInterval)
  }
}
