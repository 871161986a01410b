/* Functions of libdw (libdwfl) that are used, called through a table (late/late.h). */
#ifndef RFT_LATE_LIBDW_H
#define RFT_LATE_LIBDW_H

#include <elfutils/libdwfl.h>

#include "late/late.h"

#define RFT_LIBDW_FUNCTIONS(X)                                                                     \
    X(libdw, dwfl_addrmodule)                                                                      \
    X(libdw, dwfl_attach_state)                                                                    \
    X(libdw, dwfl_begin)                                                                           \
    X(libdw, dwfl_end)                                                                             \
    X(libdw, dwfl_errmsg)                                                                          \
    X(libdw, dwfl_frame_pc)                                                                        \
    X(libdw, dwfl_frame_reg)                                                                       \
    X(libdw, dwfl_getthread_frames)                                                                \
    X(libdw, dwfl_lineinfo)                                                                        \
    X(libdw, dwfl_module_addrinfo)                                                                 \
    X(libdw, dwfl_module_build_id)                                                                 \
    X(libdw, dwfl_module_getsrc)                                                                   \
    X(libdw, dwfl_module_info)                                                                     \
    X(libdw, dwfl_report_begin)                                                                    \
    X(libdw, dwfl_report_elf)                                                                      \
    X(libdw, dwfl_report_end)                                                                      \
    X(libdw, dwfl_thread_state_register_pc)                                                        \
    X(libdw, dwfl_thread_state_registers)

RFT_LATE_TABLE(libdw, RFT_LIBDW_FUNCTIONS);

#ifndef RFT_LATE_FILLS_TABLES
#define dwfl_addrmodule rft_libdw.dwfl_addrmodule
#define dwfl_attach_state rft_libdw.dwfl_attach_state
#define dwfl_begin rft_libdw.dwfl_begin
#define dwfl_end rft_libdw.dwfl_end
#define dwfl_errmsg rft_libdw.dwfl_errmsg
#define dwfl_frame_pc rft_libdw.dwfl_frame_pc
#define dwfl_frame_reg rft_libdw.dwfl_frame_reg
#define dwfl_getthread_frames rft_libdw.dwfl_getthread_frames
#define dwfl_lineinfo rft_libdw.dwfl_lineinfo
#define dwfl_module_addrinfo rft_libdw.dwfl_module_addrinfo
#define dwfl_module_build_id rft_libdw.dwfl_module_build_id
#define dwfl_module_getsrc rft_libdw.dwfl_module_getsrc
#define dwfl_module_info rft_libdw.dwfl_module_info
#define dwfl_report_begin rft_libdw.dwfl_report_begin
#define dwfl_report_elf rft_libdw.dwfl_report_elf
#define dwfl_report_end rft_libdw.dwfl_report_end
#define dwfl_thread_state_register_pc rft_libdw.dwfl_thread_state_register_pc
#define dwfl_thread_state_registers rft_libdw.dwfl_thread_state_registers
#endif

#endif
