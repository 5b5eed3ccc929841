/**
 * The words `schema.ts` is written in. A setting is plain data with the type of its parsed value on top; validation,
 * JSON Schema, reference table and `Infer` all read the same declaration.
 */
import type { TextForm } from "./form.js";

declare const parsed: unique symbol;

/** `T` is what the setting is once read: durations are milliseconds, sizes bytes. */
export type Setting<T> = Shape & { readonly [parsed]: T };
export type Infer<S> = S extends { readonly [parsed]: infer T } ? T : never;

/** What is there before defaults are filled in. Lists are whole or not there. */
export type Written<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: Written<T[K]> | undefined }
    : T;

export interface Common {
  readonly description: string;
  /** As an operator would write it. */
  readonly default?: unknown;
  readonly required?: true;
  /** What holds when an optional setting is not there, for the reference. */
  readonly absent?: string;
}

export interface TextShape extends Common {
  readonly kind: "text";
  readonly form?: TextForm;
  readonly minLength?: number;
  readonly maxLength?: number;
  /** Never shown in a message; `file:PATH` reads it from a file. */
  readonly secret?: true;
}
export interface IntegerShape extends Common {
  readonly kind: "integer";
  readonly min: number;
  readonly max: number;
}
export interface FlagShape extends Common {
  readonly kind: "flag";
}
export interface ChoiceShape extends Common {
  readonly kind: "choice";
  readonly values: readonly string[];
}
export interface MeasureShape extends Common {
  readonly kind: "duration" | "size";
  readonly min: string;
  readonly max: string;
}
export interface ListShape extends Common {
  readonly kind: "list";
  readonly item: Shape;
  readonly minItems?: number;
  /** Items equal but for letter case are the same. */
  readonly foldCase?: true;
}
export interface MapShape extends Common {
  readonly kind: "map";
  readonly keys: readonly string[];
  readonly item: Shape;
}
export interface GroupShape extends Common {
  readonly kind: "group";
  readonly fields: Fields;
  /** Absent means absent, not a group of defaults. */
  readonly optional?: true;
  /** Gets no defaults when it is read: they are filled in after `defaults` and the route are merged. */
  readonly sparse?: true;
  /** Written once in the JSON Schema and referred to by this name. */
  readonly id?: string;
}
/** A group whose fields depend on one choice in it. */
export interface VariantsShape extends Common {
  readonly kind: "variants";
  readonly key: string;
  readonly keyDescription: string;
  readonly usual: string;
  readonly variants: Readonly<Record<string, GroupShape>>;
}
export interface EitherShape extends Common {
  readonly kind: "either";
  readonly of: readonly Shape[];
}
export type Shape =
  | TextShape
  | IntegerShape
  | FlagShape
  | ChoiceShape
  | MeasureShape
  | ListShape
  | MapShape
  | GroupShape
  | VariantsShape
  | EitherShape;

export type Fields = Readonly<Record<string, Shape>>;

type Presence<T, O> = O extends { default: unknown } | { required: true } ? T : T | undefined;
type Options<S> = Omit<S, "kind">;
type InferFields<F> = { readonly [K in keyof F]: Infer<F[K]> };

export function text<const O extends Options<TextShape>>(options: O): Setting<Presence<string, O>> {
  return { kind: "text", ...options } as never;
}

export function integer<const O extends Options<IntegerShape>>(options: O): Setting<Presence<number, O>> {
  return { kind: "integer", ...options } as never;
}

export function flag<const O extends Options<FlagShape>>(options: O): Setting<Presence<boolean, O>> {
  return { kind: "flag", ...options } as never;
}

export function choice<const O extends Options<ChoiceShape>>(options: O): Setting<Presence<O["values"][number], O>> {
  return { kind: "choice", ...options } as never;
}

/** Milliseconds. */
export function duration<const O extends Options<MeasureShape>>(options: O): Setting<Presence<number, O>> {
  return { kind: "duration", ...options } as never;
}

/** Bytes. */
export function size<const O extends Options<MeasureShape>>(options: O): Setting<Presence<number, O>> {
  return { kind: "size", ...options } as never;
}

export function list<const O extends Options<ListShape>>(
  options: O,
): Setting<Presence<readonly NonNullable<Infer<O["item"]>>[], O>> {
  return { kind: "list", ...options } as never;
}

export function map<const K extends string, I extends Shape>(
  options: Omit<MapShape, "kind" | "keys" | "item"> & { readonly keys: readonly K[]; readonly item: I },
): Setting<Readonly<Partial<Record<K, NonNullable<Infer<I>>>>>> {
  return { kind: "map", ...options } as never;
}

export function group<F extends Fields, const O extends Omit<GroupShape, "kind" | "fields">>(
  options: O,
  fields: F,
): Setting<
  O extends { sparse: true }
    ? O extends { optional: true }
      ? Written<InferFields<F>> | undefined
      : Written<InferFields<F>>
    : O extends { optional: true }
      ? InferFields<F> | undefined
      : InferFields<F>
> {
  return { kind: "group", ...options, fields } as never;
}

export function variants<K extends string, V extends Readonly<Record<string, Shape>>>(
  options: Omit<VariantsShape, "kind" | "key" | "variants"> & { readonly key: K; readonly variants: V },
): Setting<{ [N in keyof V & string]: { readonly [P in K]: N } & Infer<V[N]> }[keyof V & string]> {
  return { kind: "variants", ...options } as never;
}

export function either<const O extends Omit<EitherShape, "kind">>(
  options: O,
): Setting<Presence<NonNullable<Infer<O["of"][number]>>, O>> {
  return { kind: "either", ...options } as never;
}
