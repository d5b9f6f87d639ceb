"""Boards, MIG instances and XIDs through NVML. The only module that imports pynvml."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from typing import Any

import pynvml

from tokenfactory.agent.snapshot import Board, Instance, Memory
from tokenfactory.errors import TokenFactoryError

MOST_BOARDS = 64
MOST_XIDS_AT_ONCE = 256

_LOST = frozenset(
    (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED, pynvml.NVML_ERROR_GPU_NOT_FOUND)
)
_GONE = frozenset(
    (
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    )
)
_MIG_PROFILE = re.compile(r"MIG (?:\d+c\.)?(\d+g\.\d+gb\S*)$")


class DriverMissing(TokenFactoryError):
    """There is no NVIDIA driver that can be used, or no longer; the message says what to do."""


class _BoardLost(Exception):
    """A board does not answer any more."""


class Nvml:
    """An open NVML. Blocking, for one thread at a time. Use as a context manager."""

    def __init__(self) -> None:
        self.driver = ""
        self._xids: _XidWatch | None = None

    def __enter__(self) -> Nvml:
        try:
            pynvml.nvmlInit()
            self.driver = str(pynvml.nvmlSystemGetDriverVersion())
        except pynvml.NVMLError as error:
            raise _explain(error) from error
        self._xids = _XidWatch()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:  # the driver went first
            return

    def read(self) -> tuple[tuple[Board, ...], int]:
        """Every board that answers, and how many do not. Raises DriverMissing when the driver went away."""
        assert self._xids is not None
        boards: list[Board] = []
        lost = 0
        try:
            self._xids.drain()
            for index in range(min(int(pynvml.nvmlDeviceGetCount()), MOST_BOARDS)):
                try:
                    boards.append(self._read_board(index, self._xids))
                except _BoardLost:
                    lost += 1
        except pynvml.NVMLError as error:
            raise _explain(error) from error
        return tuple(boards), lost

    def _read_board(self, index: int, xids: _XidWatch) -> Board:
        handle = _need(pynvml.nvmlDeviceGetHandleByIndex, index)
        uuid = str(_need(pynvml.nvmlDeviceGetUUID, handle))
        mode = _ask(pynvml.nvmlDeviceGetMigMode, handle)
        mig = mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE
        rates = None if mig else _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
        place = _ask(pynvml.nvmlDeviceGetPciInfo, handle)
        return Board(
            index=index,
            uuid=uuid,
            model=str(_ask(pynvml.nvmlDeviceGetName, handle) or ""),
            pci_bus_id="" if place is None else _text(place.busId),
            minor=_ask(pynvml.nvmlDeviceGetMinorNumber, handle),
            milliwatts=_ask(pynvml.nvmlDeviceGetPowerUsage, handle),
            millijoules=_ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle),
            gpu_percent=None if rates is None else int(rates.gpu),
            memory_percent=None if rates is None else int(rates.memory),
            memory=None if mig else _read_memory(handle),
            sm_megahertz=_ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
            memory_megahertz=_ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            clock_event_reasons=_read_reasons(handle),
            xid=xids.last(handle),
            instances=tuple(_read_instances(handle)) if mig else (),
        )


class _XidWatch:
    """The last XID of each board since the agent started, from an event set of NVML."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self._events = _ask_softly(pynvml.nvmlEventSetCreate)

    def drain(self) -> None:
        """Takes the events that are waiting, without waiting for one."""
        if self._events is None:
            return
        for _ in range(MOST_XIDS_AT_ONCE):
            event = _ask_softly(pynvml.nvmlEventSetWait_v2, self._events, 0)
            if event is None:
                return
            if event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                self._last[_address(event.device)] = int(event.eventData)

    def last(self, handle: Any) -> int | None:
        """0 before the first one; None when the board reports none. Watches a board from its first sight."""
        key = _address(handle)
        if key not in self._last and self._register(handle):
            self._last[key] = 0
        return self._last.get(key)

    def _register(self, handle: Any) -> bool:
        if self._events is None:
            return False
        kinds = _ask(pynvml.nvmlDeviceGetSupportedEventTypes, handle) or 0
        if not kinds & pynvml.nvmlEventTypeXidCriticalError:
            return False
        try:
            pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, self._events)
        except pynvml.NVMLError:
            return False
        return True


def _read_instances(board: Any) -> Iterator[Instance]:
    """The GPU instances of a board, each with the uuids of its compute instances."""
    found: dict[int, list[Any]] = {}
    for index in range(int(_ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, board) or 0)):
        handle = _ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, board, index)
        number = None if handle is None else _ask(pynvml.nvmlDeviceGetGpuInstanceId, handle)
        if number is not None:
            found.setdefault(int(number), []).append(handle)
    for number, handles in sorted(found.items()):
        uuids = (_ask(pynvml.nvmlDeviceGetUUID, handle) for handle in handles)
        yield Instance(
            number=number,
            uuids=tuple(str(uuid) for uuid in uuids if uuid),
            profile=_read_profile(handles[0]),
            memory=_read_memory(handles[0]),
        )


def _read_profile(handle: Any) -> str:
    """`1g.18gb`, from the device's name (`NVIDIA H200 MIG 1g.18gb`), else from its slices and memory."""
    named = _MIG_PROFILE.search(str(_ask(pynvml.nvmlDeviceGetName, handle) or ""))
    if named:
        return named[1]
    traits = _ask(pynvml.nvmlDeviceGetAttributes, handle)
    if traits is None:
        return ""
    return f"{traits.gpuInstanceSliceCount}g.{round(traits.memorySizeMB / 1024)}gb"


def _read_memory(handle: Any) -> Memory | None:
    """Version 2 only: in version 1 what is reserved counts as used."""
    found = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    if found is None:
        return None
    return Memory(used=int(found.used), free=int(found.free), reserved=int(found.reserved))


def _read_reasons(handle: Any) -> int | None:
    found = _ask(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    if found is None:  # the name before driver R535
        found = _ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    return None if found is None else int(found)


def _need(call: Callable[..., Any], *arguments: Any) -> Any:
    """What makes a board a board: without it the board is lost."""
    found = _ask(call, *arguments)
    if found is None:
        raise _BoardLost
    return found


def _ask(call: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, or None when this board does not support the question."""
    try:
        return call(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _LOST:
            raise _BoardLost from error
        if error.value in _GONE:
            raise
        return None


def _ask_softly(call: Callable[..., Any], *arguments: Any) -> Any:
    """Like `_ask`, for events: without them everything else still works."""
    try:
        return call(*arguments)
    except pynvml.NVMLError:
        return None


def _address(handle: Any) -> int:
    return int(ctypes.cast(handle, ctypes.c_void_p).value or 0)


def _text(found: Any) -> str:
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)


def _explain(error: Any) -> DriverMissing:
    """What a person can do about a driver that can't be used."""
    if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return DriverMissing(
            "no NVIDIA driver here: libnvidia-ml.so.1 is not found. Run the agent on GPU nodes only, in a "
            "container that the NVIDIA runtime starts (NVIDIA_VISIBLE_DEVICES=all, "
            "NVIDIA_DRIVER_CAPABILITIES=utility; set runtimeClassName where it is not the default)"
        )
    if error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return DriverMissing("the NVIDIA driver was changed under the agent: it has to be started anew")
    return DriverMissing(f"the NVIDIA driver can't be used: {error}")
