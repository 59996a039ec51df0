// Who may sign in.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import * as calls from '../api/calls';
import type { Role, User } from '../api/types';
import { Confirm } from '../parts/confirm';
import { Dialog } from '../parts/dialog';
import { Field } from '../parts/field';
import { useSending } from '../parts/form';
import { Page } from '../parts/page';
import { ProblemNote, Waiting } from '../parts/problem';
import { Time } from '../parts/time';
import { Controls, useMayChange, useSession } from '../session';

const ROLES: Record<Role, string> = { company_admin: 'Admin', member: 'Member' };
export const PASSWORD_HINT = 'At least 12 characters.';

type Open = { what: 'add' } | { what: 'password' | 'delete'; user: User } | null;

export default function Users() {
  const users = useQuery({ queryKey: ['users'], queryFn: calls.users });
  const me = useSession();
  const may = useMayChange();
  const client = useQueryClient();
  const [open, setOpen] = useState<Open>(null);
  const close = () => setOpen(null);
  const role = useMutation({
    mutationFn: ({ id, to }: { id: number; to: Role }) => calls.updateUser(id, { role: to }),
    onSettled: () => client.invalidateQueries({ queryKey: ['users'] }),
  });
  return (
    <Page
      title="Users"
      crumbs={[{ name: 'Settings' }, { name: 'People' }]}
      lead="Admins (company_admin) may do everything. Members read."
      actions={
        <Controls what="manage users">
          <button type="button" className="button primary" onClick={() => setOpen({ what: 'add' })}>
            Add a user
          </button>
        </Controls>
      }
    >
      {role.error && <ProblemNote error={role.error} />}
      <div className="card">
        <Waiting query={users} />
        {users.data && (
          <div className="table-wrap">
            <table>
              <caption className="sr-only">Users</caption>
              <thead>
                <tr>
                  <th scope="col">E-mail</th>
                  <th scope="col" className="w-role">Role</th>
                  <th scope="col" className="w-last only-wide">Added</th>
                  {may && (
                    <th scope="col" className="w-user-actions">
                      <span className="sr-only">Actions</span>
                    </th>
                  )}
                </tr>
              </thead>
              <tbody>
                {users.data.map((user) => (
                  <tr key={user.id}>
                    <td className="break">
                      {user.email}
                      {user.id === me.id && <span className="muted"> (you)</span>}
                    </td>
                    <td>
                      {may && user.id !== me.id ? (
                        <select aria-label={`Role of ${user.email}`} value={user.role} disabled={role.isPending} onChange={(event) => role.mutate({ id: user.id, to: event.target.value as Role })}>
                          {Object.entries(ROLES).map(([value, name]) => (
                            <option key={value} value={value}>
                              {name}
                            </option>
                          ))}
                        </select>
                      ) : (
                        ROLES[user.role]
                      )}
                    </td>
                    <td className="only-wide">
                      <Time at={user.createdAt} />
                    </td>
                    {may && (
                      <td>
                        {user.id !== me.id && (
                          <span className="row end">
                            <button type="button" className="button little" onClick={() => setOpen({ what: 'password', user })}>
                              Set password<span className="sr-only"> of {user.email}</span>
                            </button>
                            <button type="button" className="button little" onClick={() => setOpen({ what: 'delete', user })}>
                              Delete<span className="sr-only"> {user.email}</span>
                            </button>
                          </span>
                        )}
                      </td>
                    )}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {open?.what === 'add' && <AddUser onClose={close} />}
      {open?.what === 'password' && <SetPassword user={open.user} onClose={close} />}
      {open?.what === 'delete' && (
        <Confirm
          title={`Delete ${open.user.email}?`}
          verb="Delete"
          act={async () => {
            await calls.deleteUser(open.user.id);
            await client.invalidateQueries({ queryKey: ['users'] });
          }}
          onClose={close}
        >
          <p>Their sessions end at once, and they cannot sign in any more.</p>
        </Confirm>
      )}
    </Page>
  );
}

function AddUser({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const [email, setEmail] = useState('');
  const [role, setRole] = useState<Role>('member');
  const [password, setPassword] = useState('');
  const sending = useSending(['email', 'role', 'password']);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const user = { email: email.trim(), role, password };
    const added = await sending.send(JSON.stringify(user), (key) => calls.createUser(user, key));
    if (!added) return;
    await client.invalidateQueries({ queryKey: ['users'] });
    onClose();
  };
  return (
    <Dialog title="Add a user" onClose={onClose}>
      <form className="stack" onSubmit={(event) => void submit(event)} noValidate>
        <Field label="E-mail" fault={sending.faults.email}>
          {(ids) => <input {...ids} type="email" value={email} autoComplete="off" onChange={(event) => setEmail(event.target.value)} />}
        </Field>
        <Field label="Role" hint="A member reads everything and changes nothing." fault={sending.faults.role}>
          {(ids) => (
            <select {...ids} value={role} onChange={(event) => setRole(event.target.value as Role)}>
              <option value="member">Member</option>
              <option value="company_admin">Admin</option>
            </select>
          )}
        </Field>
        <Field label="First password" hint={`${PASSWORD_HINT} Give it to them; they change it under “Your account”.`} fault={sending.faults.password}>
          {(ids) => <input {...ids} type="password" value={password} autoComplete="new-password" onChange={(event) => setPassword(event.target.value)} />}
        </Field>
        {sending.error !== null && <ProblemNote error={sending.error} />}
        <div className="row end">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={sending.isBusy}>
            Add
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function SetPassword({ user, onClose }: { user: User; onClose: () => void }) {
  const [password, setPassword] = useState('');
  const sending = useSending(['password']);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const done = await sending.send(password, () => calls.updateUser(user.id, { password }));
    if (done) onClose();
  };
  return (
    <Dialog title="Set a password" onClose={onClose}>
      <form className="stack" onSubmit={(event) => void submit(event)} noValidate>
        <p>For {user.email}. Their sessions end.</p>
        <Field label="New password" hint={PASSWORD_HINT} fault={sending.faults.password}>
          {(ids) => <input {...ids} type="password" value={password} autoComplete="new-password" onChange={(event) => setPassword(event.target.value)} />}
        </Field>
        {sending.error !== null && <ProblemNote error={sending.error} />}
        <div className="row end">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={sending.isBusy}>
            Set the password
          </button>
        </div>
      </form>
    </Dialog>
  );
}
