// How a test drives a program of this folder: one JSON command per line on stdin, one JSON answer per line on stdout.
import { createInterface } from 'node:readline'

/** Answers commands until there are no more: `answer` gives what each one leads to, or fails. */
export async function answerCommands (answer) {
  for await (const line of createInterface({ input: process.stdin })) {
    let said
    try {
      said = { ok: (await answer(JSON.parse(line))) ?? null }
    } catch (error) {
      said = { error: String(error.stack) }
    }
    process.stdout.write(JSON.stringify(said) + '\n')
  }
}
