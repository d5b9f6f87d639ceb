"""One sample of the node: NVML, then the kubelet, then the page. Blocking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from tokenfactory.agent.devices import map_holders
from tokenfactory.agent.kubelet import KubeletSilent
from tokenfactory.agent.page import render
from tokenfactory.agent.snapshot import Allocation, Board, Node
from tokenfactory.agent.xids import describe_xid

GRACE_SECONDS = 60.0
"""How long the kubelet's last answer stands while it does not answer, as during its own restart."""


class Boards(Protocol):
    """Where boards are read from: an open NVML."""

    @property
    def driver(self) -> str: ...

    def read(self) -> tuple[tuple[Board, ...], int]: ...


class Allocations(Protocol):
    """Who knows which container holds which device: the kubelet."""

    def allocations(self) -> tuple[Allocation, ...]: ...


class Sampler:
    """Makes the page. Says once in the log when a board or the kubelet is lost, and when it is back."""

    def __init__(
        self, boards: Boards, kubelet: Allocations | None, *, node_name: str, clock: Callable[[], float]
    ) -> None:
        self._boards = boards
        self._kubelet = kubelet
        self._node_name = node_name
        self._clock = clock
        self._known: tuple[float, tuple[Allocation, ...]] | None = None
        self._silent = False
        self._lost = 0
        self._xids: dict[str, int] = {}
        self._log = structlog.get_logger("agent")

    def sample(self) -> bytes:
        """The page of this moment. Raises DriverMissing."""
        boards, lost = self._boards.read()
        self._tell(boards, lost)
        allocations = self._allocations()
        node = Node(
            name=self._node_name,
            driver=self._boards.driver,
            boards=boards,
            lost=lost,
            holders=None if allocations is None else map_holders(boards, allocations),
        )
        return render(node)

    def _allocations(self) -> tuple[Allocation, ...] | None:
        if self._kubelet is None:
            return None
        try:
            self._known = self._clock(), self._kubelet.allocations()
        except KubeletSilent as silent:
            if not self._silent:
                self._log.warning("pods can't be told", reason=str(silent))
            self._silent = True
            if self._known is None or self._clock() - self._known[0] > GRACE_SECONDS:
                return None
            return self._known[1]
        if self._silent:
            self._log.info("the kubelet tells the pods again")
        self._silent = False
        return self._known[1]

    def _tell(self, boards: tuple[Board, ...], lost: int) -> None:
        if lost != self._lost:
            self._log.warning("GPUs that do not answer", lost=lost, before=self._lost)
            self._lost = lost
        for board in boards:
            if board.xid and self._xids.get(board.uuid) != board.xid:
                self._log.warning("XID", gpu=board.uuid, code=board.xid, meaning=describe_xid(board.xid))
                self._xids[board.uuid] = board.xid
