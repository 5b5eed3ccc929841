/**
 * In which order the members of an object come, by the bytes of their names. `members` tells where each begins in `bytes`,
 * with its name in quotes, and where that name ends, by turns; the order is one of places in `members`.
 */
export function memberOrder(bytes: Uint8Array, members: readonly number[]): readonly number[] | "sorted" | "repeated" {
  if (isSorted(bytes, members)) return "sorted";
  const order: number[] = [];
  for (let member = 0; member < members.length; member += 2) order.push(member);
  const names = { bytes, members, hasRepeats: false };
  mergeSort(names, order, [...order], 0, order.length);
  return names.hasRepeats ? "repeated" : order;
}

interface Names {
  readonly bytes: Uint8Array;
  readonly members: readonly number[];
  /** Whether any two that were compared are equal: those that end up side by side have been. */
  hasRepeats: boolean;
}

function isSorted(bytes: Uint8Array, members: readonly number[]): boolean {
  const names = { bytes, members, hasRepeats: false };
  for (let member = 2; member < members.length; member += 2) if (!isBefore(names, member - 2, member)) return false;
  return true;
}

/** Names by their bytes without the quotes, a shorter one before those that begin with it. */
function isBefore(names: Names, first: number, second: number): boolean {
  const { bytes, members } = names;
  const [a, b] = [members[first]! + 1, members[second]! + 1];
  const [aLength, bLength] = [members[first + 1]! - a - 1, members[second + 1]! - b - 1];
  const length = Math.min(aLength, bLength);
  for (let i = 0; i < length; i++) {
    const difference = bytes[a + i]! - bytes[b + i]!;
    if (difference !== 0) return difference < 0;
  }
  if (aLength === bLength) names.hasRepeats = true;
  return aLength < bLength;
}

/** Sorts `order` between two places. Far quicker than a comparator that `Array.prototype.sort` calls. */
function mergeSort(names: Names, order: number[], scratch: number[], from: number, to: number): void {
  if (to - from < 12) return insertionSort(names, order, from, to);
  const middle = (from + to) >> 1;
  mergeSort(names, order, scratch, from, middle);
  mergeSort(names, order, scratch, middle, to);
  for (let i = from; i < to; i++) scratch[i] = order[i]!;
  let left = from;
  let right = middle;
  for (let i = from; i < to; i++) {
    const isLeft = left < middle && (right === to || !isBefore(names, scratch[right]!, scratch[left]!));
    order[i] = isLeft ? scratch[left++]! : scratch[right++]!;
  }
}

function insertionSort(names: Names, order: number[], from: number, to: number): void {
  for (let i = from + 1; i < to; i++) {
    const member = order[i]!;
    let place = i;
    for (; place > from && isBefore(names, member, order[place - 1]!); place--) order[place] = order[place - 1]!;
    order[place] = member;
  }
}
