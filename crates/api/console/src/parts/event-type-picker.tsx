// Choosing event types: searched by name and meaning, each with an example of what arrives.

import { useId, useState } from 'react';
import type { EventType, Profile } from '../api/types';
import { useEventTypes } from '../queries';
import { count } from '../words/numbers';
import { Pretty } from './code';
import { Waiting } from './problem';
import { Prose } from './prose';

interface PickerProps {
  profile: Profile;
  chosen: string[];
  choose: (names: string[]) => void;
  describedBy?: string | undefined;
  isInvalid?: boolean;
}

export function EventTypePicker({ profile, chosen, choose, describedBy, isInvalid }: PickerProps) {
  const types = useEventTypes(profile);
  const operational = useEventTypes('plumbline');
  const [search, setSearch] = useState('');
  const id = useId();
  if (!types.data) return <Waiting query={types} />;

  const known = [...types.data, ...(operational.data ?? [])];
  // A type that is no longer listed stays in the subscription until somebody takes it out.
  const unlisted: EventType[] = chosen
    .filter((name) => !known.some((type) => type.name === name))
    .map((name) => ({ name, description: 'Not in the catalogue any more.', schema: null, example: null, isCustom: false, deprecated: true, createdAt: '' }));
  const wanted = search.trim().toLowerCase();
  const shown = [...unlisted, ...known].filter(
    (type) =>
      (!type.deprecated || chosen.includes(type.name)) &&
      (wanted === '' || type.name.includes(wanted) || type.description?.toLowerCase().includes(wanted)),
  );
  const set = new Set(chosen);
  const toggle = (name: string) => choose(set.has(name) ? chosen.filter((each) => each !== name) : [...chosen, name]);
  const selectable = shown.filter((type) => !type.name.startsWith('endpoint.')).map((type) => type.name);
  return (
    <div className="picker" role="group" aria-label="Event types" aria-describedby={describedBy}>
      <div className="picker-bar">
        <input
          type="search"
          aria-label="Search the event types"
          aria-invalid={isInvalid || undefined}
          aria-controls={id}
          placeholder="Search by name or meaning"
          value={search}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => setSearch(event.target.value)}
          onKeyDown={(event) => {
            // The form must not be sent by a reader who searches.
            if (event.key === 'Enter') event.preventDefault();
          }}
        />
        <span className="small muted" role="status">
          {count(chosen.length)} chosen
        </span>
        <button type="button" className="button quiet little" disabled={selectable.every((name) => set.has(name))} onClick={() => choose([...new Set([...chosen, ...selectable])])}>
          {wanted ? 'Choose what is shown' : 'Choose all'}
        </button>
        <button type="button" className="button quiet little" disabled={chosen.length === 0} onClick={() => choose([])}>
          None
        </button>
      </div>
      <ul className="picker-list" id={id}>
        {shown.length === 0 && <li className="muted">No event type matches “{search}”.</li>}
        {shown.map((type) => (
          <li key={type.name}>
            <div className="grow">
              <label className="check">
                <input type="checkbox" checked={set.has(type.name)} onChange={() => toggle(type.name)} />
                <span>
                  <code>{type.name}</code>
                  {type.isCustom && <span className="badge plain own">yours</span>}
                  {type.description && <span className="hint"><Prose text={type.description} /></span>}
                </span>
              </label>
              {type.example !== null && (
                <details className="example">
                  <summary className="muted">Example<span className="sr-only"> of {type.name}</span></summary>
                  <pre className="wrap">
                    <Pretty text={JSON.stringify(type.example)} />
                  </pre>
                </details>
              )}
            </div>
          </li>
        ))}
      </ul>
    </div>
  );
}
