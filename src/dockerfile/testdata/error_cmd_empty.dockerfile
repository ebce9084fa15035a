FROM a
CMD   
